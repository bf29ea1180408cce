import { PrivacyEngine } from "@hushgrad/dp";
import { AdamW, Linear, normalInit } from "@hushgrad/nn";
import { key, mul, requestDevice, softplus, squeeze, sub, type Tensor } from "@hushgrad/tensor";

const device = await requestDevice();
const model = new Linear(3, 1, { bias: false });
normalInit(device, model.weight, key(0), 0.1);
const point = (i: number) => ({ x: Float32Array.of(Math.sin(i), Math.cos(i), 1), y: Number(Math.sin(i) > 0) });
const engine = PrivacyEngine.makePrivateWithEpsilon({
	optimizer: new AdamW([model.weight], { lr: 0.1 }),
	...{ datasetSize: 400, expectedBatchSize: 100, steps: 5 },
	...{ targetEpsilon: 2, targetDelta: 1e-5, maxGradNorm: 1 },
});
const loss = ({ x, y }: { x: Tensor; y: Tensor }) => {
	const z = squeeze(model.call(x), 0);
	return sub(softplus(z), mul(y, z));
};
for (let step = 0; step < 5; step++) await engine.step(point, loss);
console.log(engine.statement());
device.destroy();
