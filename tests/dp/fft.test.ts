import { insecureNoiseForTests } from "@hushgrad/dp";
import { describe, expect, test } from "vitest";
import { FFT_ERROR_PER_STAGE, fft } from "../../packages/dp/src/accountant/fft.ts";

/** Σ_k x_k·e^(−2πi·jk/n), term by term. */
function direct(re: Float64Array, im: Float64Array): [number[], number[]] {
	const n = re.length;
	const sum = (j: number, part: (angle: number, k: number) => number) =>
		re.reduce((total, _, k) => total + part((-2 * Math.PI * ((j * k) % n)) / n, k), 0);
	const all = Array.from(re, (_, j) => j);
	return [
		all.map((j) => sum(j, (a, k) => re[k] * Math.cos(a) - im[k] * Math.sin(a))),
		all.map((j) => sum(j, (a, k) => re[k] * Math.sin(a) + im[k] * Math.cos(a))),
	];
}

describe("the Fourier transform", () => {
	test.each([1, 2, 4, 8, 64, 256])("of %i points is the sum, to the bound on its round-off", (n) => {
		const [re, im] = [new Float64Array(n), new Float64Array(n)];
		insecureNoiseForTests(n).fillNormals(re);
		insecureNoiseForTests(n + 1).fillNormals(im);
		const [expectedRe, expectedIm] = direct(re, im);
		const size = re.reduce((sum, x, k) => sum + Math.hypot(x, im[k]), 0);
		const [outRe, outIm] = [re.slice(), im.slice()];
		fft(n)(outRe, outIm);
		// The direct sum rounds n times itself.
		const bound = (Math.log2(n) * FFT_ERROR_PER_STAGE + (n + 4) * 2 ** -53) * size;
		for (let j = 0; j < n; j++) expect(Math.hypot(outRe[j] - expectedRe[j], outIm[j] - expectedIm[j])).toBeLessThanOrEqual(bound);
		// The inverse, with both parts exchanged.
		fft(n)(outIm, outRe);
		for (let j = 0; j < n; j++)
			expect(Math.hypot(outRe[j] / n - re[j], outIm[j] / n - im[j])).toBeLessThanOrEqual((3 * bound) / Math.sqrt(n));
	});

	test("has the bound of √5 + 3 units of round-off a stage", () => {
		expect(FFT_ERROR_PER_STAGE / 2 ** -53).toBeCloseTo(5.23606797749979, 14);
	});
});
