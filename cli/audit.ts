/** What do a supervisor, an auditor or a buyer take away? A folder that they check with public tools. What is in it: `audit/`. */
import { existsSync, mkdirSync } from "node:fs"
import { join } from "node:path"
import { z } from "zod"
import { createPublicKey } from "node:crypto"
import { readVerifierKey } from "../attestation/pins/note.ts"
import { Malformed } from "../attestation/wire/codec.ts"
import { openSqlite } from "../collector/sqlite.ts"
import { readBounded } from "./bundle.ts"
import { collect } from "./audit/collect.ts"
import { frameworks as listed, frameworkTable } from "./audit/frameworks.ts"
import { writeFolder } from "./audit/folder.ts"
import { verifyFolder } from "./audit/verify.ts"
import { asJson, command } from "./command.ts"
import { collectorConfiguration, configOf } from "./configuration.ts"
import { Problem } from "./exit.ts"
import { flag, moment, policyRoot, text } from "./given.ts"
import { plain, remark, writeJsonLine } from "./terminal.ts"
import { row } from "./verdict.ts"

export const auditCommand = command({
  name: "audit",
  says: "write a folder that shows, to a stranger, what ran when and who stood behind it",
  teaches:
    "Takes the evidence of every machine that had this model within a time, with logs, results, decisions, and a proof that each is a leaf " +
    "of the vault under one signed checkpoint. Where nobody answered, the report shows a hole. It holds a README with the commands.",
  takes: [],
  options: [
    ["--model <name>", "the model, by the name that it is measured under"],
    ["--from <time>", "from when"],
    ["--to <time>", "until when (default: now)"],
    ["--out <folder>", "where to write; it must not be there yet"],
    ["--frameworks <file>", "your own table of controls, in the form of the folder's frameworks.json"],
    configOf("collector"),
    asJson,
  ],
  examples: ["assay audit --model llama --from 2026-11-01T00:00:00Z --to 2026-12-01T00:00:00Z --out audit"],
  exits: ["good", "failed", "misuse", "configuration"],
  reads: z.object({
    ...{ model: text, from: moment, to: moment.optional(), out: text },
    ...{ frameworks: text.optional(), config: text.optional(), json: flag },
  }),
  run: async ({ model, from, to, out, frameworks, config, json }, terminal) => {
    const given = await collectorConfiguration(config)
    const controls = frameworks === undefined ? listed : await frameworksIn(frameworks)
    if (existsSync(out)) throw new Problem("failed", `${out} is there already`, "name a new folder")
    const path = join(given.state, "collector.db")
    if (!existsSync(path))
      throw new Problem(
        "failed",
        `there is no store in ${given.state}`,
        "name the collector's configuration: --config FILE",
      )
    const store = openSqlite(path)
    try {
      const question = { model, from, to: to ?? terminal.now(), stale: given.challenge.stale * 1000 }
      const { pieces, pruned } = await collect(store, question)
      if (pieces.length === 0)
        throw new Problem(
          "failed",
          `no evidence within this time measured a model named ${model}`,
          "assay status --json names what a machine measured",
        )
      const over = Math.max(...pieces.map(each => each.leaf)) + 2
      const anchor = await store.anchorOver(over)
      if (!anchor)
        throw new Problem(
          "failed",
          "no checkpoint covers this evidence yet",
          "let the collector run for a second, then ask again",
        )
      mkdirSync(out, { recursive: true })
      const summary = await writeFolder(out, {
        ...{ store, config: given, anchor, question, pieces, frameworks: controls, now: terminal.now() },
      })
      const { spans, holes } = summary
      if (json)
        writeJsonLine(terminal, {
          folder: out,
          pieces: pieces.length,
          pruned,
          spans: spans.length,
          holes: holes.length,
          size: anchor.size,
        })
      else {
        row(
          terminal.out,
          "evidence",
          `${counted(pieces.length, "piece")} of ${counted(summary.attesters.length, "machine")}${pruned > 0 ? `; the bytes of ${pruned} were pruned` : ""}`,
        )
        row(terminal.out, "spans", String(spans.length))
        row(terminal.out, "holes", holes.length === 0 ? "none" : terminal.out.style("doubtful", String(holes.length)))
        row(terminal.out, "vault", `${anchor.size} leaves`)
        row(terminal.out, "folder", out)
        remark(terminal, `to check it: assay audit verify ${out}, or sh ${out}/verify.sh`)
      }
      return "good"
    } finally {
      await store.close()
    }
  },
})

const counted = (count: number, what: string): string => `${count} ${what}${count === 1 ? "" : "s"}`

/** The table of frameworks in a file. Throws {@link Problem}. */
async function frameworksIn(path: string) {
  const bytes = await readBounded(path, 1 << 18)
  try {
    return frameworkTable.parse(JSON.parse(Buffer.from(bytes).toString("utf8")))
  } catch (error) {
    const why = error instanceof z.ZodError ? z.prettifyError(error).replaceAll("\n", " ") : String(error)
    throw new Problem(
      "misuse",
      `${path} is no table of frameworks: ${why}`,
      "edit the frameworks.json of an audit folder",
    )
  }
}

export const auditVerify = command({
  name: "audit verify",
  says: "check an audit folder, offline and without the collector",
  teaches:
    "Computes everything anew from the files: signatures, proofs, evidence down to the TPM's quote, approvals, and what the report tells. Give " +
    "the two keys that you know of this collector, and the policy root; without them the folder's own are used, and that is said.",
  takes: [["<folder>", "as assay audit writes it"]],
  options: [
    ["--log-key <key>", "the vault's key, as assay vault key prints it"],
    ["--result-key <pem>", "a file with the key that signs results"],
    ["--policy-root <digest>", "the digest of the first policy, as you were told it out of band"],
    asJson,
  ],
  examples: ["assay audit verify audit --log-key 'collector/vault+33d7b496+AeHT…'"],
  exits: ["good", "failed", "misuse", "unauthentic"],
  reads: z.object({
    ...{ folder: text, logKey: text.optional(), resultKey: text.optional() },
    ...{ policyRoot: policyRoot.optional(), json: flag },
  }),
  run: async ({ folder, logKey, resultKey, policyRoot: root, json }, terminal) => {
    if (!existsSync(join(folder, "index.json")))
      throw new Problem("failed", `${folder} is no audit folder`, "assay audit writes one")
    const known = {
      log: logKey === undefined ? undefined : keyIn(logKey),
      results: resultKey === undefined ? undefined : await resultsKey(resultKey),
      policyRoot: root,
      now: terminal.now(),
    }
    const found = await verifyFolder(folder, known)
    const holds = found.every(each => each.holds)
    if (json) writeJsonLine(terminal, { holds, checks: found })
    else
      for (const each of found)
        terminal.out.write(
          `  ${each.holds ? terminal.out.style("good", "ok  ") : terminal.out.style("bad", "FAIL")}  ${plain(each.says, 400)}\n`,
        )
    return holds ? "good" : "unauthentic"
  },
})

function keyIn(given: string) {
  try {
    return readVerifierKey(given)
  } catch (error) {
    if (!(error instanceof Malformed)) throw error
    throw new Problem("misuse", `--log-key: ${error.message}`, "take the line that assay vault key prints")
  }
}

async function resultsKey(path: string): Promise<Uint8Array> {
  const { crv, x } = createPublicKey(Buffer.from(await readBounded(path, 4096))).export({ format: "jwk" })
  if (crv !== "Ed25519" || x === undefined)
    throw new Problem("misuse", `${path} holds no Ed25519 key`, "give the PEM of the result key")
  return new Uint8Array(Buffer.from(x, "base64url"))
}
