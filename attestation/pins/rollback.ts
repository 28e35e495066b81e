/** Back to which pin? A rollback: a note that puts an older version in force again, newly approved, with dates of its own. */
import { Malformed } from "../wire/codec.ts"
import { type Named, readNamed, readTerms, type Terms, writeNamed, writeTerms } from "./pin.ts"
import { readStatement, Taken, writeStatement } from "./statement.ts"

/** `from` is what is in force, which must name `to` as its rollback target. */
export type Rollback = Terms & { readonly from: Named; readonly to: Named }

/** The rollback in `text`. Throws {@link Malformed}. */
export function readRollback(text: string): Rollback {
  const statement = readStatement(text)
  if (statement.kind !== "rollback") throw new Malformed(`this is a ${statement.kind}, not a rollback`)
  const lines = new Taken(statement)
  const rollback: Rollback = {
    ...readTerms(statement, lines),
    from: readNamed(lines.one("from")),
    to: readNamed(lines.one("to")),
  }
  const [strange] = lines.left
  if (strange) throw new Malformed(`a rollback has no line "${strange.join(" ")}"`)
  if (writeRollback(rollback) !== text) throw new Malformed("its lines are not in the order that a rollback has")
  return rollback
}

/** The text of a rollback. */
export const writeRollback = (rollback: Rollback): string =>
  writeStatement({
    ...{ origin: rollback.origin, kind: "rollback" },
    lines: [...writeTerms(rollback), ["from", writeNamed(rollback.from)], ["to", writeNamed(rollback.to)]],
  })
