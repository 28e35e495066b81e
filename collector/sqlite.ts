/**
 * How is the store kept on one machine? In one SQLite file: `admission.sqlite.ts` holds who was let in, `archive.sqlite.ts` what
 * they showed, `register.sqlite.ts` how they stand, `trust.sqlite.ts` who is trusted, `approval.sqlite.ts` what was approved,
 * `secret.sqlite.ts` what waits for a machine, `vault/` the tree over all of it, `restoration.sqlite.ts` whether it is out of a backup.
 * What must hold of them is in `store.ts`.
 */
import { admission } from "./admission.sqlite.ts"
import { approval } from "./approval.sqlite.ts"
import { archive } from "./archive.sqlite.ts"
import { Database } from "./database.ts"
import { register } from "./register.sqlite.ts"
import { restoration } from "./restoration.sqlite.ts"
import { secrets } from "./secret.sqlite.ts"
import type { Store } from "./store.ts"
import { trust } from "./trust.sqlite.ts"
import { adopt } from "./vault/adopt.sqlite.ts"
import { vault } from "./vault/vault.sqlite.ts"

/** Opens the store in the file at `path`, making it if need be. Throws StoreUnusable. */
export function openSqlite(path: string): Store {
  const db = new Database(path)
  adopt(db)
  return Object.freeze({
    ...admission(db),
    ...archive(db),
    ...register(db),
    ...trust(db),
    ...approval(db),
    ...secrets(db),
    ...vault(db),
    ...restoration(db),
    close: async () => db.close(),
  })
}
