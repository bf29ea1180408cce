/** A library without a GPU: its tensors are arrays. `fakeContender.ts NAME`. */
import { serve } from "../../bench/suite/serve.ts";

const [name] = process.argv.slice(2);

await serve<Float32Array>(async () => ({
	description: { library: name, version: "1", adapter: "none", isSoftware: false },
	upload: (values) => Float32Array.from(values),
	programs: {
		double: ({ x }) => {
			return () => [x.map((v) => 2 * v)];
		},
		rough: ({ x }) => {
			return () => [x.map((v) => (name === "other" ? 2.1 : 2) * v)];
		},
		loses: () => {
			let runs = 0;
			return async () => {
				if (name === "other" && ++runs > 3) throw Object.assign(new Error("the device was lost"), { code: "device/lost" });
				return [];
			};
		},
		settles: () => {
			let runs = 0;
			return async () => {
				await new Promise((done) => setTimeout(done, ++runs < 3 ? 30 : 1));
				return [];
			};
		},
		dies: () => {
			return () => (name === "other" ? process.exit(3) : []);
		},
		...(name === "other" ? {} : { own: () => () => [] }),
	},
	cannot: () => "it has no such thing",
	wait: async () => {},
	read: async (t) => t,
	release: () => {},
}));
