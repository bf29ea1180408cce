import { inspect } from "node:util";
import { countParameters, Linear, Module, ModuleBuffer, ModuleList, Parameter, RMSNorm } from "@hushgrad/nn";
import { add, data, key, mul, normalValues, square, sum, type Tensor, valueAndGrad, vmap } from "@hushgrad/tensor";
import { describe, expect, it } from "vitest";
import { useDevice } from "../support/device.ts";
import { fill } from "./parameters.ts";

const device = useDevice();

/** An error with this code, whose message holds the text. */
const error = (code: string, text = "") => expect.objectContaining({ code, message: expect.stringContaining(text) });

const vector = (size: number, seed = 1): Tensor => device().fromHost(normalValues(key(seed), size), [size]);

class Scale extends Module {
	readonly weight = new Parameter([4]);

	forward(x: Tensor): Tensor {
		return mul(x, this.weight.value);
	}
}

/** Parts in every kind of field. */
class Tree extends Module {
	readonly first = new Scale();
	readonly layers = [new Scale(), [new Scale(), new Scale()]] as const;
	readonly heads = new Map<string, Module | Parameter>([
		["left", new Scale()],
		["right", new Parameter([4])],
	]);
	readonly options = { gate: new Scale(), sizes: [4, 4], table: new ModuleBuffer() };
	readonly list = new ModuleList([new Scale(), new Scale()]);
	readonly biases = [new Parameter([4]), new Parameter([4])];
	readonly note = "no part";

	forward(x: Tensor): Tensor {
		const scales = [this.first, ...this.layers.flat(), this.heads.get("left") as Scale, this.options.gate, ...this.list.items];
		return [...this.biases, this.heads.get("right") as Parameter].reduce(
			(t, p) => add(t, p.value),
			scales.reduce((t, m) => m.call(t), x),
		);
	}
}

const PATHS = [
	"first.weight",
	"layers.0.weight",
	"layers.1.0.weight",
	"layers.1.1.weight",
	"heads.left.weight",
	"options.gate.weight",
	"list.0.weight",
	"list.1.weight",
];

describe("the parts of a module", () => {
	it("are found in fields, arrays, maps and plain objects, by path", () => {
		const tree = new Tree();
		tree.namePaths();
		const found = new Map(tree.namedParameters());
		expect([...found.keys()].sort()).toEqual([...PATHS, "biases.0", "biases.1", "heads.right"].sort());
		for (const [path, p] of found) expect(p.name).toBe(path);
		expect(tree.layers[1][1].path).toBe("layers.1.1");
		expect(tree.options.gate.path).toBe("options.gate");
		expect([...tree.namedModules()].map(([path]) => path)).toContain("heads.left");
		expect(tree.list.toString()).toContain("(0-1): 2 x Scale()");
		expect(countParameters(tree)).toEqual({ trainable: 44, all: 44 });
	});

	it("are trained, frozen, listed as state and disposed, each of them", async () => {
		const start = device().memory();
		const tree = fill(new Tree(), device());
		tree.options.table.assign(device().fromHost([1, 2], [2]));
		const x = vector(4);
		const parameters = [...tree.trainableParameters().values()];
		const { value, grads } = valueAndGrad(() => sum(square(tree.call(x))), parameters);
		value.dispose();
		for (const g of grads) {
			expect((await data(g)).some((v) => v !== 0)).toBe(true);
			g.dispose();
		}
		expect(new Set(tree.stateTensors())).toEqual(new Set([...parameters.map((p) => p.value), tree.options.table.value]));
		tree.freeze();
		expect(tree.trainableParameters().size).toBe(0);
		expect(countParameters(tree)).toEqual({ trainable: 0, all: 44 });
		tree.dispose();
		x.dispose();
		expect([...tree.stateTensors()]).toEqual([]);
		expect(device().memory()).toMatchObject({ liveBytes: start.liveBytes, liveBuffers: start.liveBuffers });
	});

	it("may be added after the first call", async () => {
		class Growing extends Module {
			readonly layers: Scale[] = [];
			forward(x: Tensor): Tensor {
				return this.layers.reduce((t, m) => m.call(t), x);
			}
		}
		const model = new Growing();
		const x = vector(4);
		expect(await data(model.call(x))).toEqual(await data(x));
		model.layers.push(fill(new Scale(), device()));
		expect(await data(model.call(x))).not.toEqual(await data(x));
		expect(model.layers[0].path).toBe("layers.0");
		expect([...model.trainableParameters().keys()]).toEqual(["layers.0.weight"]);
	});

	it("a parameter that two modules hold is counted once, under its first path", () => {
		class Tied extends Module {
			readonly a = new Linear(4, 4, { bias: false });
			readonly b = new Linear(4, 4, { bias: false });
		}
		const tied = new Tied();
		tied.b.weight = tied.a.weight;
		expect([...tied.namedParameters()].map(([path]) => path)).toEqual(["a.weight"]);
		expect(countParameters(tied)).toEqual({ trainable: 16, all: 16 });
	});

	it("replaceChild exchanges a module wherever it stands, and refuses a name that has none", () => {
		const tree = new Tree();
		for (const path of ["first", "layers.0", "layers.1.1", "heads.left", "options.gate"]) {
			const other = new Scale();
			tree.replaceChild(path, other);
			expect(new Map(tree.children()).get(path)).toBe(other);
		}
		expect([...tree.namedParameters()]).toHaveLength(11);
		for (const path of ["second", "note", "biases.0", "list.0"]) {
			expect(() => tree.replaceChild(path, new Scale())).toThrow(error("module/child", path));
		}
	});
});

describe("modules that the tree does not show", () => {
	class Hiding extends Module {
		readonly #inner = fill(new Scale(), device());
		forward(x: Tensor): Tensor {
			return this.#inner.call(x);
		}
	}

	it("one in a #private field is refused where it is called, wherever its owner stands", () => {
		class Outer extends Module {
			readonly blocks = [new Hiding()];
			forward(x: Tensor): Tensor {
				return this.blocks[0].call(x);
			}
		}
		const before = device().memory();
		const x = vector(4);
		expect(() => new Hiding().call(x)).toThrow(error("module/hidden", "Scale is called inside Hiding"));
		expect(() => new Outer().call(x)).toThrow(error("module/hidden", "#private field hides them"));
		expect(() => vmap((row: Tensor) => new Outer().call(row))(device().fromHost(new Float32Array(8), [2, 4]))).toThrow(
			error("module/hidden"),
		);
		x.dispose();
		// Two hidden layers a construction stay, and the batch; nothing of the calls.
		expect(device().memory().liveBuffers).toBe(before.liveBuffers + 3 + 1);
	});

	it("so is one that is made on the way, and the model works on", async () => {
		class Making extends Module {
			readonly own = fill(new Scale(), device());
			forward(x: Tensor, make: boolean): Tensor {
				return (make ? fill(new Scale(), device()) : this.own).call(x);
			}
		}
		const model = new Making();
		const x = vector(4);
		const before = await data(model.call(x, false));
		expect(() => model.call(x, true)).toThrow(error("module/hidden", "inside Making"));
		expect(await data(model.call(x, false))).toEqual(before);
	});

	it("a module in two places, or inside itself, is refused with both places", () => {
		class Twice extends Module {
			readonly a = new Scale();
			readonly b = [this.a];
			forward(x: Tensor): Tensor {
				return this.b[0].call(x);
			}
		}
		class Circle extends Module {
			readonly child = new Scale();
			readonly parent: { owner?: Module } = {};
		}
		const circle = new Circle();
		circle.parent.owner = circle;
		for (const walk of [
			() => new Twice().namePaths(),
			() => new Twice().call(vector(4)),
			() => [...new Twice().namedParameters()],
			() => new Twice().trainableParameters(),
		]) {
			expect(walk).toThrow(error("module/twice", 'one Scale stands at "a" and at "b.0"'));
		}
		expect(() => [...circle.namedParameters()]).toThrow(error("module/twice", 'one Circle stands at "" and at "parent.owner"'));
	});

	it("plain data that refers to itself is no fault", () => {
		class Configured extends Module {
			readonly layer = new Scale();
			readonly config: Record<string, unknown> = { size: 4 };
		}
		const model = new Configured();
		model.config.self = model.config;
		expect([...model.namedParameters()].map(([path]) => path)).toEqual(["layer.weight"]);
	});
});

describe("errors", () => {
	class Block extends Module {
		readonly norm = new RMSNorm(4);
		readonly proj = new Linear(4, 4, { bias: false });
		forward(x: Tensor): Tensor {
			return this.proj.call(this.norm.call(x));
		}
	}
	class Deep extends Module {
		readonly layers = [new Block(), new Block()];
		forward(x: Tensor): Tensor {
			return this.layers.reduce((t, m) => m.call(t), x);
		}
	}

	it("name the innermost module by its path, with and without records", () => {
		const model = fill(new Deep(), device());
		expect(() => model.call(vector(5))).toThrow(
			expect.objectContaining({ path: "layers.0.norm", message: expect.stringContaining("layers.0.norm") }),
		);
		const rows = device().fromHost(new Float32Array(10), [2, 5]);
		expect(() => vmap((x: Tensor) => model.call(x))(rows)).toThrow(expect.objectContaining({ path: "layers.0.norm" }));
		model.layers[1].proj.weight.dispose();
		expect(() => model.call(vector(4))).toThrow(error("parameter/empty", "layers.1.proj.weight of shape [4, 4] has no value yet"));
	});

	it("a buffer without a value says so", () => {
		expect(() => new ModuleBuffer().value).toThrow(error("buffer/empty"));
	});
});

describe("console.log", () => {
	it("shows the tree of a module and its counts, and of a parameter its shape, before and after it has a value", () => {
		const net = new ModuleList([new Linear(3, 4), new RMSNorm(4)]);
		net.namePaths();
		expect(inspect(net)).toBe(`${net}\ntrainable params: 20 || all params: 20 || trainable%: 100.0000`);
		expect(inspect(net)).toContain("(0): Linear(in_features=3, out_features=4, bias=True)");
		const [, weight] = [...net.namedParameters()][0];
		expect(inspect(weight)).toBe("Parameter(0.weight, f32 [4, 3], without a value)");
		fill(net, device());
		weight.trainable = false;
		expect(inspect([weight])).toContain("Parameter(0.weight, f32 [4, 3], frozen)");
		expect(inspect(new ModuleList([]))).toBe("ModuleList()");
		net.dispose();
	});
});
