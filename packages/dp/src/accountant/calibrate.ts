import * as calibration from "./calibration.ts";

/** What `getNoiseMultiplier` calibrates for, by RDP. */
export type CalibrationOptions = Omit<calibration.CalibrationOptions, "accountant">;

/** `getNoiseMultiplier` by RDP, for a plan that is accounted by RDP. */
export function getNoiseMultiplier(options: CalibrationOptions): number {
	return calibration.getNoiseMultiplier({ ...options, accountant: "rdp" });
}
