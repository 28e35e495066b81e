/** Does the SQLite store keep the contract, refuse to alter what is evidence, and open only what it can? */
import { execFileSync } from "node:child_process"
import { randomBytes } from "node:crypto"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { afterAll, afterEach, beforeAll, expect, test } from "vitest"
import { z } from "zod"
import { Database, lockFolder, StoreUnusable } from "../collector/database.ts"
import { appendOnlyTables, schema } from "../collector/schema.ts"
import { openSqlite } from "../collector/sqlite.ts"
import type { Store } from "../collector/store.ts"
import { removeFolder, temporaryFolder } from "./collector-house.ts"
import { describeStore } from "./store.contract.ts"

let folder: string
const stores: Store[] = []
const fresh = (): string => join(folder, `${randomBytes(4).toString("hex")}.db`)

beforeAll(() => {
  folder = temporaryFolder()
})
afterEach(async () => {
  for (const store of stores.splice(0)) await store.close()
})
afterAll(() => removeFolder(folder))

function open(path: string): Store {
  const store = openSqlite(path)
  stores.push(store)
  return store
}

describeStore("sqlite", async () => open(fresh()))

test("what is committed is there after a restart", async () => {
  const path = fresh()
  const first = openSqlite(path)
  const invitation = { purpose: "attester", name: "n", by: "Olga", issued: 1, expires: 9, accept: null } as const
  await first.invite({ ...invitation, id: "a".repeat(64) })
  await first.close()
  expect(await open(path).invitation("a".repeat(64))).toMatchObject({ by: "Olga" })
})

/** A row for each table, so that a trigger has something to refuse. */
const rows = [
  "INSERT INTO invitation VALUES ('i', 'attester', 'n', 'b', 1, 2, NULL)",
  "INSERT INTO revocation VALUES ('i', 'b', 1)",
  "INSERT INTO enrolment VALUES ('a', 1, 1, 'l', 'i', '{}', 'ak', 'key', '{}', NULL)",
  "INSERT INTO log VALUES (1, 'a', 1, 0, NULL, 0)",
  "INSERT INTO piece VALUES (1, 0, x'00')",
  `INSERT INTO evidence VALUES ('d', 1, 1, 'report', 0, 1, '${"0".repeat(20)}', NULL, 1, 0, '${"0".repeat(20)}', 1,
     NULL, NULL, 1, 1, 1, 'warning', 0, NULL)`,
  "INSERT INTO gap VALUES ('d', 'a', NULL, 1)",
  "INSERT INTO closing VALUES ('d', 1, 'b', 'r')",
  "INSERT INTO clearing VALUES (1, 'a', 1, 'b', 'r', 'warning')",
  "INSERT INTO reference VALUES (1, 'a', 'd', 1, x'00')",
  "INSERT INTO certificate VALUES (1, 'f', x'00', 'root', 'm', NULL, NULL, 1)",
  "INSERT INTO withdrawal VALUES (1, 'b', 'r', 1)",
  "INSERT INTO retirement VALUES ('a', 1, 1, 'b', 'r')",
  "INSERT INTO alias VALUES ('a', 'b', 1)",
  "INSERT INTO boot_log VALUES ('d', NULL, 0, x'00')",
  "INSERT INTO shown_log VALUES (1, 'a', 'ima', 1, 'd')",
  "INSERT INTO note VALUES (1, 'pin', 'o/p', 'd', 1, x'00')",
  "INSERT INTO gap_plan VALUES (1, 'g', 'o', '2026-01-01', 'b', 'r', 1)",
  "INSERT INTO leaf VALUES (0, 'k', 1, 1, zeroblob(32))",
  "INSERT INTO restoration VALUES (1, 1, 'b', 'r', 1)",
  "INSERT INTO secret VALUES (1, 'a', 'n', 'affirming', 'b', 'r', 1)",
  "INSERT INTO secret_withdrawal VALUES (1, 'b', 'r', 1)",
  "INSERT INTO secret_release VALUES ('d', 1, 1)",
]

test("C14 evidence, enrolments and results are neither changed, deleted nor replaced", () => {
  const db = new Database(fresh())
  db.run("INSERT INTO name VALUES (1, 'a')")
  for (const row of rows) db.run(row)
  expect(rows.map(row => row.split(" ")[2])).toEqual(appendOnlyTables)
  for (const [i, table] of appendOnlyTables.entries()) {
    const columns = db.all(z.object({ name: z.string() }), `SELECT name FROM pragma_table_info('${table}')`)
    const column = columns[0]?.name ?? ""
    expect(() => db.run(`UPDATE ${table} SET ${column} = ${column}`), table).toThrow("append-only")
    expect(() => db.run(`DELETE FROM ${table}`), table).toThrow("append-only")
    expect(() => db.run((rows[i] ?? "").replace("INSERT", "INSERT OR REPLACE")), table).toThrow("append-only")
  }
  db.close()
})

test("the file is as durable as it says, and SQLite's own checks find nothing", () => {
  const path = fresh()
  open(path)
  const db = new DatabaseSync(path)
  expect(db.prepare("PRAGMA journal_mode").get()).toEqual({ journal_mode: "wal" })
  expect(db.prepare("PRAGMA integrity_check").get()).toEqual({ integrity_check: "ok" })
  expect(db.prepare("PRAGMA foreign_key_check").all()).toEqual([])
  const strict = db.prepare(
    "SELECT name FROM pragma_table_list WHERE schema = 'main' AND strict = 0 AND name NOT LIKE 'sqlite%'",
  )
  expect(strict.all()).toEqual([])
  db.close()
})

test("a store of a later version is refused, and left as it is", () => {
  const path = fresh()
  const db = new DatabaseSync(path)
  db.exec(`PRAGMA user_version = ${schema.length + 1}`)
  db.close()
  expect(() => openSqlite(path)).toThrow(StoreUnusable)
})

test("a folder is one collector's: a second process is refused until the first has ended", () => {
  const path = join(folder, "lock")
  const held = lockFolder(path)
  expect(() => lockFolder(path)).toThrow("another collector runs")
  const script = `import { lockFolder } from ${JSON.stringify(join(import.meta.dirname, "../collector/database.ts"))}
    try { lockFolder(${JSON.stringify(path)}); console.log("held") } catch (error) { console.log(error.name) }`
  const second = (): string =>
    execFileSync(process.execPath, ["--input-type=module", "-e", script], { encoding: "utf8" }).trim()
  expect(second()).toBe("StoreUnusable")
  held.release()
  expect(second()).toBe("held")
})
