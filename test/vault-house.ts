/** Where does a test get a vault from? A store with evidence of real formats, published into a folder, and a real witness that listens. */
import { mkdirSync, readFileSync } from "node:fs"
import type { AddressInfo } from "node:net"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { writeLeaf } from "../attestation/vault/leaf.ts"
import { readLast } from "../attestation/vault/witness.ts"
import { append, emptyEdge, leafHash, writeEdge } from "../attestation/vault/tree.ts"
import { openWitness, serveWitness, type Witness } from "../cli/witness.ts"
import type { Configuration } from "../collector/config.ts"
import { Database } from "../collector/database.ts"
import { vaultKey } from "../collector/keys.ts"
import { openSqlite } from "../collector/sqlite.ts"
import type { Store } from "../collector/store.ts"
import { check, type Checked } from "../collector/vault/check.ts"
import { leavesFrom } from "../collector/vault/leaves.sqlite.ts"
import { logKey, publishedIn } from "../collector/vault/origin.ts"
import { Publisher } from "../collector/vault/publish.ts"
import { type Machine, machine, next } from "../scripts/bench/vault/material.ts"
import { configurationIn, temporaryFolder } from "./collector-house.ts"

export type VaultHouse = {
  readonly folder: string
  readonly config: Configuration
  readonly store: Store
  readonly witness: Witness
  readonly said: string[]
  readonly witnessSaid: string[]
  publisher: Publisher
  /** one more piece of evidence */
  record(): Promise<void>
  /** a publisher as a collector that starts has one */
  fresh(more?: { readonly timestamps?: string; readonly vault?: Store }): Publisher
  check(): Checked
  /** how many leaves the witness signed last */
  witnessed(): number
  stop(): Promise<void>
}

const start = Date.parse("2026-05-04T03:02:01.000Z")

export async function openVaultHouse(pieces: number): Promise<VaultHouse> {
  const folder = temporaryFolder()
  const config = configurationIn(folder)
  mkdirSync(config.state, { recursive: true })
  const store = openSqlite(join(config.state, "collector.db"))
  const key = logKey(config)
  const witness = openWitness(join(folder, "witness"), "witness.example/w1", [key])
  const [said, witnessSaid]: [string[], string[]] = [[], []]
  const server = serveWitness(witness, line => witnessSaid.push(line))
  await new Promise<void>(resolve => server.listen(0, "127.0.0.1", resolve))
  const { port } = server.address() as AddressInfo
  const own = machine()
  await enrol(store, own)
  let at = start
  const fresh: VaultHouse["fresh"] = (more = {}) =>
    new Publisher({
      ...{ vault: store, key, sign: vaultKey(config.state).sign, folder: publishedIn(config.state), timestamps: "" },
      witnesses: [{ url: `http://127.0.0.1:${port}`, key: witness.key }],
      ...{ every: { witness: 0, timestamp: 0 }, now: () => at, say: line => void said.push(line), ...more },
    })
  const house: VaultHouse = {
    ...{ folder, config, store, witness, said, witnessSaid, fresh, publisher: fresh() },
    record: async () => {
      at += 300_000
      const recorded = await store.record(next(own, at))
      if (recorded !== "recorded") throw new Error(recorded)
    },
    check: () => checkIn(config),
    witnessed: () =>
      readLast(readFileSync(join(folder, "witness", `${Buffer.from(key.name).toString("hex")}.last`), "utf8")).size,
    stop: async () => {
      await store.close().catch(() => undefined)
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
    },
  }
  for (let i = 0; i < pieces; i++) await house.record()
  return house
}

export async function enrol(store: Store, own: Machine): Promise<void> {
  const id = own.attester.slice(4)
  await store.invite({
    ...{ id, purpose: "attester", name: "gpu-1", by: "Ada" },
    issued: 1,
    expires: 9e15,
    accept: null,
  })
  const creation = { data: "", attest: "", signature: "" }
  const evidenceKey = Buffer.from(own.key).toString("base64")
  const identity = { attester: own.attester, ekPublic: "", ekCertificate: null, akPublic: "", evidenceKey, creation }
  const enrolled = await store.enrol({
    ...{ attester: own.attester, at: start, label: "gpu-1", invitation: id, identity, ak: own.ak },
    ...{ endorsement: { kind: "unendorsed" }, audit: "unavailable" },
  })
  if (typeof enrolled === "string") throw new Error(enrolled)
}

function checkIn(config: Configuration): Checked {
  const db = new Database(join(config.state, "collector.db"))
  try {
    const published = new Uint8Array(readFileSync(join(publishedIn(config.state), "checkpoint")))
    return check(db, { key: logKey(config), published, kept: 0 })
  } finally {
    db.close()
  }
}

/** What whoever owns the file can do with SQL alone: the guards are taken off first. */
export function byHand({ config }: { readonly config: Configuration }, sql: string): void {
  const db = new DatabaseSync(join(config.state, "collector.db"))
  try {
    db.exec(`DROP TRIGGER IF EXISTS leaf_no_update; DROP TRIGGER IF EXISTS leaf_no_delete; ${sql}`)
  } finally {
    db.close()
  }
}

/** What whoever knows the tree can do besides: make it anew over the leaves as they are now. */
export function treeAnew({ config }: { readonly config: Configuration }): void {
  const db = new Database(join(config.state, "collector.db"))
  try {
    let edge = emptyEdge
    for (const { leaf } of leavesFrom(db, 0, 10_000)) ({ edge } = append(edge, leafHash(writeLeaf(leaf))))
    db.run("UPDATE tree SET size = ?, edge = ?", edge.size, writeEdge(edge))
  } finally {
    db.close()
  }
}

/** Four ways to alter history, each before leaf 6 of seven or more. */
export const alterations: Readonly<Record<string, string>> = {
  altered: "UPDATE leaf SET digest = randomblob(32) WHERE position = 3",
  removed: `DELETE FROM leaf WHERE position = 3; DELETE FROM kept WHERE position = 3;
    UPDATE leaf SET position = position - 1 WHERE position > 3; UPDATE kept SET position = position - 1 WHERE position > 3`,
  reordered: `UPDATE leaf SET position = -1 WHERE position = 3; UPDATE leaf SET position = 3 WHERE position = 5;
    UPDATE leaf SET position = 5 WHERE position = -1`,
  "put in between": `UPDATE leaf SET position = -position - 1 WHERE position >= 3; UPDATE leaf SET position = -position WHERE position < 0;
    INSERT INTO leaf VALUES (3, 'pin', 1, 1, randomblob(32))`,
}
