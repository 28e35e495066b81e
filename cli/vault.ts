/** Is the vault whole, who keeps a copy, and what may be forgotten? Done on the files of the collector's state folder. */
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, rmSync } from "node:fs"
import { join } from "node:path"
import { z } from "zod"
import { writeVerifierKey } from "../attestation/pins/note.ts"
import { readCheckpoint } from "../attestation/vault/checkpoint.ts"
import { type Configuration, defaults } from "../collector/config.ts"
import { Database, lockFolder } from "../collector/database.ts"
import { check, type Checked } from "../collector/vault/check.ts"
import { edgeOf } from "../collector/vault/leaves.sqlite.ts"
import { logKey, publishedIn } from "../collector/vault/origin.ts"
import { prune, yearsOf } from "../collector/vault/prune.ts"
import { asJson, command } from "./command.ts"
import { collectorConfiguration, configOf } from "./configuration.ts"
import { Problem } from "./exit.ts"
import { flag, moment, text } from "./given.ts"
import { type Output, plain, remark, writeJsonLine } from "./terminal.ts"
import { row } from "./verdict.ts"

const exits = ["good", "failed", "misuse", "configuration"] as const
const year = 365.25 * 86_400_000
const storeIn = ({ state }: Configuration): string => join(state, "collector.db")

/** The collector's database. The collector may be running. */
function openStore(config: Configuration): Database {
  if (!existsSync(storeIn(config)))
    throw new Problem(
      "failed",
      `there is no store in ${config.state}`,
      "name the collector's configuration: --config FILE",
    )
  return new Database(storeIn(config))
}

export const vaultKeyCommand = command({
  name: "vault key",
  says: "print the key that checkpoints of the vault are signed with",
  teaches: "For witnesses and auditors: they pin it, and take no checkpoint that another key signed.",
  takes: [],
  options: [configOf("collector")],
  examples: ["assay vault key --config collector.toml"],
  exits,
  reads: z.object({ config: text.optional() }),
  run: async ({ config }, terminal) => {
    const given = await collectorConfiguration(config)
    if (!existsSync(given.state)) throw new Problem("failed", `there is no ${given.state}`, "start the collector once")
    terminal.out.write(`${writeVerifierKey(logKey(given))}\n`)
    return "good"
  },
})

export const vaultCheck = command({
  name: "vault check",
  says: "check that nothing in the vault was altered, taken out, moved or put in",
  teaches:
    "Hashes every leaf and every byte that is kept anew, and compares the tree with the one that is stored, the one that is published and " +
    "every checkpoint that was signed. What its owner altered together with the key, only a witness shows.",
  takes: [],
  options: [configOf("collector"), asJson],
  examples: ["assay vault check --config collector.toml"],
  exits: ["good", "failed", "misuse", "unauthentic", "configuration"],
  reads: z.object({ config: text.optional(), json: flag }),
  run: async ({ config, json }, terminal) => {
    const given = await collectorConfiguration(config)
    const db = openStore(given)
    try {
      const path = join(publishedIn(given.state), "checkpoint")
      const published = existsSync(path) ? new Uint8Array(readFileSync(path)) : undefined
      const kept = terminal.now() - given.vault.retention * year
      const checked = check(db, { key: logKey(given), published, kept })
      if (json) writeJsonLine(terminal, checked)
      else writeChecked(terminal.out, checked)
      return checked.faults.length === 0 ? "good" : "unauthentic"
    } finally {
      db.close()
    }
  },
})

function writeChecked(out: Output, { size, root, bytes, pruned, checkpoints, faults }: Checked): void {
  row(out, "leaves", String(size))
  row(out, "root", root)
  row(out, "kept", `${bytes} bytes${pruned === 0 ? "" : `, and ${pruned} leaves whose bytes were pruned`}`)
  row(out, "checkpoints", String(checkpoints))
  row(out, "whole", faults.length === 0 ? out.style("good", "yes") : out.style("bad", "no"))
  for (const fault of faults) out.write(`    ${out.style("bad", "✗")} ${plain(fault, 400)}\n`)
}

export const vaultPrune = command({
  name: "vault prune",
  says: "take away the bytes of evidence and results whose time is over",
  teaches:
    "Leaves, proofs, pins, approvals and enrolments stay: what was kept can still be shown to have been kept. Nothing younger than " +
    "vault.retention of collector.toml goes, and nothing of the last year, whatever is written there. Who pruned, and under which " +
    "retention, is a leaf itself.",
  takes: [],
  options: [
    ["--by <person>", "who decides it"],
    ["--before <time>", "what was kept before this moment"],
    configOf("collector"),
    asJson,
  ],
  examples: ["assay vault prune --by 'Ada Lovelace' --before 2019-01-01T00:00:00Z"],
  exits,
  reads: z.object({ by: z.string().min(1).max(128), before: moment, config: text.optional(), json: flag }),
  run: async ({ by, before, config, json }, terminal) => {
    const given = await collectorConfiguration(config)
    const { retention } = given.vault
    const floor = terminal.now() - retention * year
    if (before > floor)
      throw new Problem(
        "failed",
        `nothing is pruned that was kept after ${new Date(floor).toISOString()}: vault.retention is ${yearsOf(retention)}`,
        "name an earlier moment, or change the policy in collector.toml",
      )
    const db = openStore(given)
    try {
      const pruned = prune(db, { before, by, at: terminal.now(), retention })
      if (json) writeJsonLine(terminal, pruned)
      else row(terminal.out, "pruned", `the bytes of ${pruned.leaves} leaves, and ${pruned.logs} pieces of logs`)
      if (!json && retention < defaults.vault.retention && pruned.leaves + pruned.logs > 0)
        remark(
          terminal,
          `vault.retention is ${yearsOf(retention)}, not the usual ${defaults.vault.retention}: the leaf says so`,
        )
      return "good"
    } finally {
      db.close()
    }
  },
})

/** What else belongs to a collector: without its keys nothing that it signs continues. */
const beside = ["result-key.pem", "vault-key.pem", "tls-key.pem", "tls-certificate.pem", "vault"]

export const vaultBackup = command({
  name: "vault backup",
  says: "copy the store, its keys and its published checkpoint into a folder",
  teaches:
    "The collector may be running: the copy is of one moment. It holds the collector's keys, so keep it as you keep them.",
  takes: [["<folder>", "where to; it must not be there yet"]],
  options: [configOf("collector"), asJson],
  examples: ["assay vault backup /backup/2026-11-21"],
  exits,
  reads: z.object({ folder: text, config: text.optional(), json: flag }),
  run: async ({ folder, config, json }, terminal) => {
    const given = await collectorConfiguration(config)
    if (existsSync(folder)) throw new Problem("failed", `${folder} is there already`, "name a new folder")
    const db = openStore(given)
    try {
      mkdirSync(folder, { recursive: true, mode: 0o700 })
      db.run("VACUUM INTO ?", join(folder, "collector.db"))
      chmodSync(join(folder, "collector.db"), 0o600)
      for (const name of beside)
        if (existsSync(join(given.state, name)))
          cpSync(join(given.state, name), join(folder, name), { recursive: true })
    } finally {
      db.close()
    }
    const leaves = sizeOf(join(folder, "collector.db"))
    if (json) writeJsonLine(terminal, { folder, leaves })
    else row(terminal.out, "copied", `${leaves} leaves to ${folder}`)
    return "good"
  },
})

function sizeOf(path: string): number {
  const db = new Database(path)
  try {
    return edgeOf(db).size
  } finally {
    db.close()
  }
}

export const vaultRestore = command({
  name: "vault restore",
  says: "put a copy of the store back into the state folder of a collector that is stopped",
  teaches:
    "What the copy lacks is lost, and that shows: the collector finds at its start that a later checkpoint was published, says so and keeps " +
    "it as a leaf; witnesses refuse what does not continue what they signed; each machine is a finding until its TPM's counter has risen.",
  takes: [["<folder>", "a copy as assay vault backup makes it"]],
  options: [
    ["--replace", "the store that is there is older or damaged: put the copy in its place"],
    configOf("collector"),
    asJson,
  ],
  examples: ["assay vault restore /backup/2026-11-21"],
  exits: ["good", "failed", "misuse", "unacceptable", "configuration"],
  reads: z.object({ folder: text, replace: flag, config: text.optional(), json: flag }),
  run: async ({ folder, replace, config, json }, terminal) => {
    const given = await collectorConfiguration(config)
    if (!existsSync(join(folder, "collector.db")))
      throw new Problem("failed", `${folder} holds no copy of a store`, "name a folder that assay vault backup made")
    mkdirSync(given.state, { recursive: true, mode: 0o700 })
    const lock = lockFolder(join(given.state, "lock"))
    try {
      if (existsSync(storeIn(given)) && !replace)
        throw new Problem(
          "failed",
          `a store is in ${given.state} already`,
          "look at it with assay vault check, then say --replace",
        )
      putBack(folder, given)
      const leaves = sizeOf(storeIn(given))
      const published = publishedSize(given)
      if (json) writeJsonLine(terminal, { leaves, published })
      else row(terminal.out, "restored", `${leaves} leaves`)
      if (published <= leaves) return "good"
      remark(
        terminal,
        `older than what was published: ${published} leaves were, and ${published - leaves} of them are not here`,
      )
      return "unacceptable"
    } finally {
      lock.release()
    }
  },
})

/** Keys go back where there are none; what was published stays where it is newer, so that what is lost shows. */
function putBack(folder: string, config: Configuration): void {
  for (const name of ["collector.db-wal", "collector.db-shm"]) rmSync(join(config.state, name), { force: true })
  cpSync(join(folder, "collector.db"), storeIn(config), { force: true })
  for (const name of beside)
    if (!existsSync(join(config.state, name)) && existsSync(join(folder, name)))
      cpSync(join(folder, name), join(config.state, name), { recursive: true })
}

function publishedSize(config: Configuration): number {
  const path = join(publishedIn(config.state), "checkpoint")
  return existsSync(path) ? readCheckpoint(new Uint8Array(readFileSync(path)), logKey(config)).checkpoint.size : 0
}
