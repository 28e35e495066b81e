/** Which commands are there? One row each, in the order in which a person meets them. */
import type { Command } from "./command.ts"
import { hash } from "./hash.ts"
import { show } from "./show.ts"
import { verifyCommand } from "./verify.ts"

export const commands: readonly Command[] = [verifyCommand, show, hash]
