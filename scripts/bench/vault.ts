/**
 * How does the vault grow? Evidence of 1,000 machines of which nothing changes but time, in one store: how fast it is appended, what it takes
 * on disk, how long a proof, a check of everything and an audit's reading take, at several sizes of one run.
 */
import { mkdirSync, rmSync, statSync } from "node:fs"
import { join } from "node:path"
import { proveInclusion } from "../../attestation/vault/proof.ts"
import { Database } from "../../collector/database.ts"
import { insertEvidence } from "../../collector/archive.sqlite.ts"
import { keepLog } from "../../collector/log.sqlite.ts"
import { openSqlite } from "../../collector/sqlite.ts"
import type { Store } from "../../collector/store.ts"
import { check } from "../../collector/vault/check.ts"
import { headOf, subtreesOf } from "../../collector/vault/leaves.sqlite.ts"
import { collect } from "../../cli/audit/collect.ts"
import { type Machine, machine, next } from "./vault/material.ts"

/** What was seen at one size. Times on the wall, in milliseconds, unless they say CPU. */
export type VaultSize = {
  readonly evidences: number
  /** since the size before */
  readonly perSecond: number
  readonly cpuPerEvidence: number
  /** of the whole store: evidence, results, rows, indexes, tree */
  readonly bytesPerEvidence: number
  readonly proof: number
  /** hashes the longest proof holds */
  readonly hashes: number
  readonly check: number
  /** CPU time of that check */
  readonly checkCpu: number
  /** reading 1,000 pieces of evidence with logs and results for an audit */
  readonly audit: number
}

const batch = 100

/** Grows a store in `folder` to each of `sizes`, telling of each when it is reached. */
export async function growVault(
  folder: string,
  sizes: readonly number[],
  machines: number,
  tell: (size: VaultSize) => void,
): Promise<void> {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  const path = join(folder, "collector.db")
  const store = openSqlite(path)
  const fleet = Array.from({ length: machines }, machine)
  for (const each of fleet) await enrol(store, each)
  const db = new Database(path)
  let [done, at] = [0, start]
  for (const size of sizes) {
    const [wall, cpu, from] = [performance.now(), process.cpuUsage(), done]
    while (done < size) {
      const count = Math.min(batch, size - done)
      db.transaction(() => {
        for (let i = 0; i < count; i++) keep(db, fleet[(done + i) % machines], (at += 300))
      })
      done += count
    }
    const used = process.cpuUsage(cpu)
    const seconds = (performance.now() - wall) / 1000
    const grown = size - from
    db.run("PRAGMA wal_checkpoint(TRUNCATE)")
    tell({
      evidences: size,
      perSecond: grown / seconds,
      cpuPerEvidence: (used.user + used.system) / 1000 / grown,
      bytesPerEvidence: statSync(path).size / size,
      ...proofs(db),
      ...checked(db),
      audit: await timed(() => read(store, at)),
    })
  }
  db.close()
  await store.close()
  rmSync(folder, { recursive: true, force: true })
}

const start = Date.parse("2026-01-01T00:00:00.000Z")

async function enrol(store: Store, own: Machine): Promise<void> {
  const id = own.attester.slice(4)
  await store.invite({ ...{ id, purpose: "attester", name: "gpu", by: "Ada" }, issued: 1, expires: 9e15, accept: null })
  const creation = { data: "", attest: "", signature: "" }
  const evidenceKey = Buffer.from(own.key).toString("base64")
  const identity = { attester: own.attester, ekPublic: "", ekCertificate: null, akPublic: "", evidenceKey, creation }
  await store.enrol({
    ...{ attester: own.attester, at: start, label: "gpu", invitation: id, identity, ak: own.ak },
    ...{ endorsement: { kind: "unendorsed" }, audit: "unavailable" },
  })
}

/** As the store does it when evidence comes, but for the standing; a hundred in one transaction. */
function keep(db: Database, own: Machine | undefined, at: number): void {
  if (!own) return
  const entry = next(own, at)
  const log = keepLog(db, { attester: own.attester, ...entry.clock }, entry.log)
  insertEvidence(db, { ...entry, log, length: entry.log.length })
}

/** The median of two hundred proofs of leaves anywhere, each from tiles that nobody read before. */
function proofs(db: Database): { proof: number; hashes: number } {
  const { size } = headOf(db)
  const each = Array.from({ length: 200 }, (_, i) => {
    const position = Math.floor(((i * 0.618034) % 1) * size)
    const begun = performance.now()
    const { length } = proveInclusion(position, size, subtreesOf(db, size))
    return { took: performance.now() - begun, length }
  })
  const took = each.map(one => one.took).toSorted((a, b) => a - b)
  return { proof: took[100] ?? 0, hashes: Math.max(...each.map(one => one.length)) }
}

function checked(db: Database): { check: number; checkCpu: number } {
  const [wall, cpu] = [performance.now(), process.cpuUsage()]
  demandWhole(db)
  const { user, system } = process.cpuUsage(cpu)
  return { check: performance.now() - wall, checkCpu: (user + system) / 1000 }
}

async function timed(act: () => Promise<void>): Promise<number> {
  const begun = performance.now()
  await act()
  return performance.now() - begun
}

function demandWhole(db: Database): void {
  const key = { name: "bench", publicKey: new Uint8Array(32) }
  const { faults } = check(db, { key, published: undefined, kept: 0 })
  if (faults.length > 0) throw new Error(`the vault is not whole: ${faults[0]}`)
}

async function read(store: Store, at: number): Promise<void> {
  await collect(store, { model: "subject 5", from: at - 300 * 999, to: at, stale: 1 })
}

/** The figures as people read them. */
export function vaultText(sizes: readonly VaultSize[]): string {
  const head = [
    "evidences",
    "appended/s",
    "CPU ms each",
    "bytes each",
    "proof ms",
    "hashes",
    "check s",
    "its CPU s",
    "audit of 1,000, s",
  ]
  const rows = sizes.map(each => [
    ...[each.evidences.toLocaleString("en"), each.perSecond.toFixed(0), each.cpuPerEvidence.toFixed(2)],
    ...[each.bytesPerEvidence.toFixed(0), each.proof.toFixed(2), String(each.hashes)],
    ...[(each.check / 1000).toFixed(1), (each.checkCpu / 1000).toFixed(1), (each.audit / 1000).toFixed(2)],
  ])
  const widths = head.map((_, i) => Math.max(...[head, ...rows].map(row => row[i]?.length ?? 0)))
  const line = (row: readonly string[]): string => row.map((cell, i) => cell.padStart(widths[i] ?? 0)).join("  ")
  return ["the vault", ...[head, ...rows].map(line), ""].join("\n")
}
