import { DryDevice } from "../tools/roofline/dryDevice.ts";
import { machineOf } from "../tools/roofline/machines.ts";
import { training, configOf } from "../tools/roofline/subject.ts";
const dry = new DryDevice(machineOf("h100").adapter);
const step = training(dry.device, { config: configOf("vaultgemma-1b"), batch: 8, length: 128, plain: false }, "blank")(process.argv[2] as never);
for (let i = 0; i < 12; i++) { const c = process.cpuUsage(); const t = performance.now(); await step(); const u = process.cpuUsage(c); const r = dry.take(); console.log((performance.now() - t).toFixed(0), ((u.user + u.system) / 1000).toFixed(0), r.dispatches.length, r.submits, r.uploaded, r.copied); }
