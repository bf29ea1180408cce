import { GaussianMechanism } from "@hushgrad/dp";
import { embedding, full, key, normalValues, requestDevice, vjp } from "@hushgrad/tensor";

const device = await requestDevice({ debug: { level: 2, log() {} } });
const N = 2 ** 18;
const g = device.fromHost(normalValues(key(1), 8 * N), [8, N]);
const ones = full(device, [8], 1);
const mech = new GaussianMechanism({ length: N, maxGradNorm: 1, noiseMultiplier: 0, expectedBatchSize: 1 });
const total = mech.newSum(device);
const table = device.fromHost(normalValues(key(2), 4000 * 256), [4000, 256]);
const ids = device.fromHost(
	Int32Array.from({ length: 1024 }, (_, i) => (i * 7919) % 4000),
	[1024],
);
const dy = device.fromHost(normalValues(key(3), 1024 * 256), [1024, 256]);
const clipSum = () => device.scope<void>(() => void total.add([g], ones));
const emb = () => device.scope<void>(() => void vjp((t) => embedding(ids, t), [table], dy));
for (const [name, f] of [
	["clip", clipSum],
	["emb", emb],
] as const) {
	for (let i = 0; i < 3; i++) f();
	await device.flush();
	const { profile: p } = {
		profile: await (device as any).profile(async () => {
			for (let i = 0; i < 10; i++) f();
			await device.flush();
		}),
	} as any;
	console.log(name);
	console.table(p.table?.() ?? p.profile?.table?.() ?? Object.getOwnPropertyNames(Object.getPrototypeOf(p)));
}
device.destroy();
