import { assign, ShapeError, slice, Tensor, ValueError, write, zeros } from "@hushgrad/tensor";
import {
	type ArgumentKind,
	expects,
	instanceOf,
	isIterable,
	type Kind,
	optionsOf,
	partsOf,
	type Some,
	withDefaults,
} from "@hushgrad/tensor/author";
import { Parameter } from "../parameter.ts";
import type { Rule } from "./rule.ts";
import { constant, type Schedule } from "./schedule.ts";
import { isGradient, ParameterVector, type Range } from "./vector.ts";

/** Options that all optimisers have. */
export interface OptimizerOptions {
	/** Base learning rate, 0 or more. */
	readonly lr: number;
	/** Factor of the rate in step 1, 2, …, of all groups; 1 throughout when left out. */
	readonly schedule?: Schedule | undefined;
}

/** Parameters with options of their own, a run of the vector; options that it does not name are those of the optimiser. */
export type ParameterGroup<O extends OptimizerOptions> = {
	/** The parameters of the group, at least one. */
	readonly parameters: Iterable<Parameter>;
} & Some<Omit<O, "schedule">>;

/** What an optimiser trains: parameters, by name or not, or groups of them. None may be frozen or come twice. */
export type Trained<O extends OptimizerOptions> = Iterable<Parameter> | ReadonlyMap<string, Parameter> | readonly ParameterGroup<O>[];

/** What an optimiser remembers: torch's state_dict, without the options. */
export interface OptimizerState {
	/** Steps taken. */
	readonly steps: number;
	/** State vectors f32 `[P]` by the names of the rule (AdamW's m and v); none before the first step. The optimiser's own, not copies. */
	readonly tensors: ReadonlyMap<string, Tensor>;
}

interface Group<O> {
	readonly range: Range;
	readonly options: O;
}

/** Of which kinds the options are that only this optimiser has. */
type OwnKinds<O extends OptimizerOptions> = Readonly<Record<Exclude<keyof O & string, keyof OptimizerOptions>, ArgumentKind>>;

const LIST: Kind = [isIterable, "a list of Parameters or of groups of them"];
const ITEM: Kind = [
	(v) => v instanceof Parameter || (typeof v === "object" && v !== null && "parameters" in v && isIterable(v.parameters)),
	"a Parameter, or a group { parameters }",
];

const isNamed = <O extends OptimizerOptions>(trained: Trained<O>): trained is ReadonlyMap<string, Parameter> => trained instanceof Map;

/**
 * What optimisers have in common: one vector of parameters, state vectors beside it, and one kernel a group and step. A subclass
 * is a formula (`Rule`) and the numbers that it takes in step t. State is made with the first step.
 */
export abstract class Optimizer<O extends OptimizerOptions = OptimizerOptions> {
	/** What is trained, as one vector `[P]`; from when it is first asked for, the parameters are views of it. */
	readonly vector: ParameterVector;
	readonly #rule: Rule;
	readonly #groups: readonly Group<O>[];
	readonly #options: O;
	readonly #name: string;
	#state: readonly Tensor[] = [];
	#numbers: Tensor | undefined;
	#steps = 0;

	/** @throws ValueError for no parameters, an empty group, a parameter that is frozen or given twice, and a rate below 0. */
	protected constructor(rule: Rule, trained: Trained<O>, options: O, kinds: OwnKinds<O>) {
		const name = new.target.name;
		expects(name, { parameters: trained, options }, { parameters: LIST, options: "options" });
		const items: readonly (Parameter | ParameterGroup<O>)[] = isNamed(trained) ? [...trained.values()] : [...trained];
		const groups = items.map((item, i) => {
			expects(name, { [`parameters[${i}]`]: item }, { [`parameters[${i}]`]: ITEM });
			return item instanceof Parameter ? { parameters: [item] } : { ...item, parameters: [...item.parameters] };
		});
		if (groups.some((g) => g.parameters.length === 0)) {
			throw new ValueError("optim/empty", `${name}: a group has no parameters`, { hint: "leave the group out; is all of it frozen?" });
		}
		this.vector = new ParameterVector(
			groups.flatMap((g) => g.parameters),
			name,
		);
		this.#rule = rule;
		this.#options = options;
		this.#name = name;
		this.#groups = items.every((item) => item instanceof Parameter)
			? [{ range: { start: 0, end: this.vector.length }, options }]
			: groups.map(({ parameters, ...own }) => {
					const ranges = parameters.map((p) => this.vector.rangeOf(p));
					return {
						range: { start: ranges[0].start, end: ranges[ranges.length - 1].end },
						options: withDefaults<O>(options, own as Some<O>),
					};
				});
		for (const { options: o } of this.#groups) {
			optionsOf<OptimizerOptions>(name, o, { ...kinds, lr: "number", schedule: "function?" });
			if (!(o.lr >= 0)) throw new ValueError("optim/lr", `${name}: lr is ${o.lr}, expected 0 or more`);
		}
	}

	/** The options of each group, defaults of the optimiser filled in. */
	protected get groupOptions(): readonly O[] {
		return this.#groups.map(({ options }) => options);
	}

	/** The numbers of step t = 1, 2, … at rate `lr`, in the order of the rule. */
	protected abstract numbersOf(t: number, lr: number, options: O): readonly number[];

	/** The parameters, in the order of the vector. */
	get parameters(): readonly Parameter[] {
		return this.vector.parameters;
	}

	/** Steps taken; 0 again after `dispose`. */
	get steps(): number {
		return this.#steps;
	}

	/** Base rate of the next step: the lr of the options, not of a group, times the factor of the schedule. */
	get lr(): number {
		return this.#rate(this.#options, this.#steps + 1);
	}

	/**
	 * Takes a step with a gradient: the vector `[P]`, or one tensor a parameter, in order, f32. Parameters and state change in
	 * place.
	 * @throws ShapeError, ValueError when the gradients do not fit, or are those of single records; ValueError when a parameter has
	 * no value or another optimiser holds it.
	 */
	step(gradient: Tensor | readonly Tensor[]): void {
		if (!this.#isVector(gradient)) this.vector.check(listOf(gradient));
		this.prepare();
		this.update(gradient);
	}

	/**
	 * Counts a step and hands its numbers to the device: the part of `step` that comes before each replay of a captured `update`.
	 */
	prepare(): void {
		const t = this.#steps + 1;
		const { device, length } = this.vector;
		const { count, stateNames } = this.#rule;
		this.#numbers ??= device.keep(zeros(device, [this.#groups.length * count]));
		if (this.#state.length === 0) this.#state = stateNames.map(() => device.keep(zeros(device, [length])));
		write(
			this.#numbers,
			this.#groups.flatMap(({ options }) => this.numbersOf(t, this.#rate(options, t), options)),
		);
		this.#steps = t;
	}

	/**
	 * The kernels of a step, with the numbers of the last `prepare`: the part of `step` to be captured.
	 * @throws ValueError before the first `prepare`.
	 */
	update(gradient: Tensor | readonly Tensor[]): void {
		const { vector } = this;
		const numbers = this.#numbers;
		if (numbers === undefined) throw new ValueError("optim/prepare", `${this.#name}.update: it needs prepare() before it`);
		vector.device.scope(() => {
			const g = this.#isVector(gradient) ? gradient : vector.join(listOf(gradient));
			const { count, primitive } = this.#rule;
			this.#groups.forEach(({ range }, i) => {
				const own = slice(numbers, 0, i * count, (i + 1) * count);
				const part = (t: Tensor): Tensor => (range.start === 0 && range.end === t.size ? t : slice(t, 0, range.start, range.end));
				primitive.apply([part(vector.tensor), ...this.#state.map(part), part(g), own]);
			});
		});
	}

	/** What is remembered from step to step, to be saved beside the parameters: `saveFile(state.tensors, path)`. */
	state(): OptimizerState {
		return { steps: this.#steps, tensors: new Map(this.#state.map((t, i) => [this.#rule.stateNames[i], t])) };
	}

	/**
	 * Goes on from a state: copies its tensors and counts from its steps. The next step is what it would have been then.
	 * @throws ValueError when the names are not those of this optimiser; ShapeError when a tensor is not f32 of P numbers.
	 */
	loadState(state: OptimizerState): void {
		const name = this.constructor.name;
		const { steps, tensors } = partsOf(`${name}.loadState`, "state", state, {
			steps: "count",
			tensors: instanceOf(Map, "a Map of tensors"),
		});
		const names = tensors.size === 0 && steps === 0 ? [] : this.#rule.stateNames;
		if (names.length !== tensors.size || names.some((n) => !tensors.has(n))) {
			throw new ValueError("optim/state", `${name}.loadState: ${steps} steps and tensors ${[...tensors.keys()].join(", ")}`, {
				hint: `expected what state() gives: steps, and tensors ${names.join(", ")}`,
			});
		}
		const { device, length } = this.vector;
		for (const n of names) {
			const t = tensors.get(n);
			if (t?.dtype !== "f32" || t.shape.length !== 1 || t.size !== length) {
				throw new ShapeError("optim/state-shape", `${name}.loadState: ${n} is ${t}, expected f32 [${length}]`);
			}
		}
		for (const t of this.#state) t.dispose();
		this.#state = names.map((n) => {
			const own = device.keep(zeros(device, [length]));
			assign(own, tensors.get(n) as Tensor);
			return own;
		});
		this.#steps = steps;
	}

	/** Releases the state and lets the parameters go; they keep their values. A step after that is step 1 again, with new state. */
	dispose(): void {
		this.#steps = 0;
		for (const t of this.#state) t.dispose();
		this.#state = [];
		this.#numbers?.dispose();
		this.#numbers = undefined;
		this.vector.dispose();
	}

	#isVector(gradient: Tensor | readonly Tensor[]): gradient is Tensor {
		return isGradient(gradient, [this.vector.length]);
	}

	#rate({ lr }: O, t: number): number {
		const factor = (this.#options.schedule ?? constant)(t);
		expects(this.#name, { "schedule()": factor }, { "schedule()": "number" });
		return lr * factor;
	}
}

const listOf = (gradient: Tensor | readonly Tensor[]): readonly Tensor[] => (gradient instanceof Tensor ? [gradient] : gradient);
