/** What do all connections share? Built once by `main.ts`, handed to each. */
import type { Allowance } from "../channel/allowance.ts"
import type { Configuration } from "./config.ts"
import type { Buffered } from "./delivery.ts"
import type { Fleet } from "./fleet.ts"
import type { Governor } from "./governor.ts"
import type { Judge } from "./judge.ts"
import type { Safe } from "./safe.ts"
import type { Store } from "./store.ts"

export type Parts = {
  readonly config: Configuration
  readonly store: Store
  readonly judge: Judge
  /** where secrets rest */
  readonly safe: Safe
  readonly fleet: Fleet
  /** what is approved */
  readonly governor: Governor
  /** bytes of evidence on their way, over all connections */
  readonly buffered: Buffered
  /** questions of outside verifiers, by token */
  readonly questions: Allowance
  /** 32 bytes; what an attester is told at enrolment */
  readonly resultKey: Uint8Array
  /** milliseconds since 1970 */
  readonly now: () => number
  /** a line for people, on stderr */
  readonly say: (line: string) => void
}
