/**
 * How is a SQLite file opened and asked? One connection of node:sqlite, set so that what is committed is on disk. Its tables
 * are in `schema.ts`; what is asked of them in `sqlite.ts`.
 */
import { Hinted } from "../attestation/wire/hinted.ts"
import * as sqlite from "node:sqlite"
import type { ZodType } from "zod"
import { schema } from "./schema.ts"

/** Later releases of Node call the class `Database` (DEP0210). */
const Connection: typeof sqlite.DatabaseSync =
  "Database" in sqlite ? (sqlite.Database as typeof sqlite.DatabaseSync) : sqlite.DatabaseSync

export type Bound = null | number | string | Uint8Array

/** The store cannot be used; `hint` says what to do. */
export class StoreUnusable extends Hinted {}

/** An open database. Everything on it is synchronous, so a transaction is never interleaved with another. */
export class Database {
  readonly #connection: sqlite.DatabaseSync
  readonly #statements = new Map<string, sqlite.StatementSync>()

  /** Opens the file at `path`, and brings its tables up to this version. Throws {@link StoreUnusable}. */
  constructor(path: string) {
    this.#connection = new Connection(path, { timeout: 5000, enableForeignKeyConstraints: true })
    for (const pragma of pragmas) this.#connection.exec(`PRAGMA ${pragma}`)
    this.#migrate(path)
  }

  /** Runs a statement; gives the number of rows that it changed. */
  run(sql: string, ...values: Bound[]): number {
    return Number(this.#statement(sql).run(...values).changes)
  }

  /** The first row, read by `row`. */
  one<T>(row: ZodType<T>, sql: string, ...values: Bound[]): T | undefined {
    const found = this.#statement(sql).get(...values)
    return found === undefined ? undefined : row.parse(found)
  }

  all<T>(row: ZodType<T>, sql: string, ...values: Bound[]): T[] {
    return this.#statement(sql)
      .all(...values)
      .map(each => row.parse(each))
  }

  /** Does `work` as one transaction: all of it is on disk when this returns, or nothing when it throws. */
  transaction<T>(work: () => T): T {
    this.#connection.exec("BEGIN IMMEDIATE")
    try {
      const done = work()
      this.#connection.exec("COMMIT")
      return done
    } catch (error) {
      if (this.#connection.isTransaction) this.#connection.exec("ROLLBACK")
      throw error
    }
  }

  close(): void {
    this.#statements.clear()
    this.#connection.close()
  }

  #statement(sql: string): sqlite.StatementSync {
    const known = this.#statements.get(sql)
    if (known) return known
    const prepared = this.#connection.prepare(sql)
    this.#statements.set(sql, prepared)
    return prepared
  }

  #migrate(path: string): void {
    const version = Number(this.#connection.prepare("PRAGMA user_version").get()?.["user_version"])
    if (version > schema.length)
      throw new StoreUnusable(
        `${path} was written by a later version (schema ${version}, this is ${schema.length})`,
        "start the version that wrote it, or name another state folder",
      )
    // a table that others refer to is made anew only while nobody looks (sqlite.org/lang_altertable, 7)
    this.#connection.exec("PRAGMA foreign_keys = OFF")
    for (const [i, step] of schema.entries())
      if (i >= version)
        this.transaction(() => {
          this.#connection.exec(step)
          this.#connection.exec(`PRAGMA user_version = ${i + 1}`)
        })
    this.#connection.exec("PRAGMA foreign_keys = ON")
  }
}

/** recursive_triggers: without it INSERT OR REPLACE deletes rows past the triggers that forbid it (sqlite.org/lang_conflict). */
const pragmas = [
  "journal_mode = WAL",
  "synchronous = FULL",
  "foreign_keys = ON",
  "trusted_schema = OFF",
  "recursive_triggers = ON",
  "wal_autocheckpoint = 4000",
]

/**
 * Holds the folder's lock file until the process ends, however it ends. Throws {@link StoreUnusable} if another process holds it.
 */
export function lockFolder(path: string): { release(): void } {
  const connection = new Connection(path, { timeout: 0 })
  try {
    connection.exec("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE")
  } catch {
    connection.close()
    throw new StoreUnusable(
      `another collector runs on ${path}`,
      "stop it, or name another state folder in collector.toml",
    )
  }
  return { release: () => connection.close() }
}
