/**
 * What is measured, and in which order? The order of extends is part of the evidence, so it is written here and not
 * discovered. A new source is one file and one line.
 */
import { agent } from "./agent.ts"
import { cuda } from "./cuda.ts"
import { driver } from "./driver.ts"
import { firmware } from "./firmware.ts"
import { kernel } from "./kernel.ts"
import { loaded } from "./loaded.ts"
import { runtime } from "./runtime.ts"
import type { Source } from "./source.ts"
import { weights } from "./weights.ts"

export const sources: readonly Source[] = [agent, firmware, kernel, driver, cuda, runtime, weights, loaded]
