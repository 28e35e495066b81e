/** How long is waited for what should come, and what is it when it does not? A deadline that passed is told apart from what went wrong. */
import { setTimeout as delay } from "node:timers/promises"

/** What did not come in time, where nothing that came was wrong: it may be the load of this machine. */
export class Late extends Error {}

/** Asks every fifth of a second. @throws Late saying `otherwise` after `seconds` */
export async function until(
  holds: () => boolean | Promise<boolean>,
  seconds: number,
  otherwise: string,
): Promise<void> {
  const end = Date.now() + seconds * 1000
  while (!(await holds())) {
    if (Date.now() > end) throw new Late(`${otherwise} (within ${seconds} s)`)
    await delay(200)
  }
}
