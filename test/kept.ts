/** What does a collector keep? Every row of its store but those that only count time, to compare before and after. */
import { createHash } from "node:crypto"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"

/** Nonces come and go, what was refused is told to people under whatever name was said, and the tree over all leaves is made when its time has come. */
const passing: ReadonlySet<string> = new Set(["nonce", "incident", "tree", "tile", "anchor"])

/** Table → digest of its rows, of the collector whose files are in `folder`. */
export function keptIn(folder: string): Readonly<Record<string, string>> {
  const db = new DatabaseSync(join(folder, "state/collector.db"), { readOnly: true })
  try {
    const tables = db.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").all()
    const names = tables.map(({ name }) => String(name)).filter(name => !passing.has(name))
    return Object.fromEntries(names.map(name => [name, digestOf(db.prepare(`SELECT * FROM "${name}"`).all())]))
  } finally {
    db.close()
  }
}

function digestOf(rows: readonly object[]): string {
  const hash = createHash("sha256")
  for (const row of rows)
    for (const value of Object.values(row))
      hash.update(value instanceof Uint8Array ? value : String(value)).update("\0")
  return `${rows.length} rows, ${hash.digest("hex").slice(0, 16)}`
}
