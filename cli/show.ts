/** What does this evidence say? Its claims in words, none of them verified; whether they hold is asked by `verify`. */
import { z } from "zod"
import { readCel } from "../attestation/tcg/cel.ts"
import { newestMeasurements } from "../attestation/pins/reference.ts"
import { type LogEvent, type Measurement, readEvent } from "../attestation/protocol/event.ts"
import type { Body, Payload } from "../attestation/protocol/evidence.ts"
import { Malformed } from "../attestation/wire/codec.ts"
import { readBundle, readClaims } from "./bundle.ts"
import { asJson, command } from "./command.ts"
import { Problem } from "./exit.ts"
import { flag, text } from "./given.ts"
import { type Output, plain, writeJsonLine } from "./terminal.ts"
import { row } from "./verdict.ts"

export const show = command({
  name: "show",
  says: "show what evidence claims, without verifying anything",
  teaches:
    "Shows what evidence says for people to read. Nothing is verified: anybody may have written it. assay verify tells " +
    "whether it holds.",
  takes: [["<path>", "a folder as measure and challenge write it, or an envelope's file"]],
  options: [
    ["--log <file>", "the event log (default: assay.cel beside the evidence)"],
    ["--all", "every fact of every measurement"],
    asJson,
  ],
  examples: ["assay show bundle"],
  exits: ["good", "failed", "misuse"],
  reads: z.object({ path: text, log: text.optional(), all: flag, json: flag }),
  run: async ({ path, log, all, json }, terminal) => {
    const untrusted = await readBundle(path, log)
    const claims = readClaims(untrusted.envelope)
    if (claims instanceof Malformed)
      throw new Problem("failed", `${path} is no evidence: ${claims.message}`, "name a folder or file with evidence")
    const claimedEvents = eventsOf(untrusted.logs.get("assay"))
    if (json) writeJsonLine(terminal, { verified: false, ...claims, claimedEvents })
    else writeClaims(terminal.out, claims, claimedEvents, all)
    return "good"
  },
})

function eventsOf(log: Uint8Array | undefined): readonly LogEvent[] | string {
  if (!log) return "there is no log with it"
  try {
    return readCel(log).map(record => readEvent(record.content))
  } catch (error) {
    if (error instanceof Malformed) return `the log cannot be read: ${error.message}`
    throw error
  }
}

function writeClaims(out: Output, payload: Payload, events: readonly LogEvent[] | string, all: boolean): void {
  out.write(`  ${out.style("doubtful", "not verified: this is what the files say")}\n\n`)
  writeBody(out, payload.body)
  out.write("\n")
  writePcrs(out, payload.quote.pcrs)
  out.write("\n")
  if (typeof events === "string") return row(out, "log", plain(events))
  row(out, "log", `${events.length} records`)
  for (const each of newestMeasurements(events)) writeMeasurement(out, each, all)
}

/** Those that nobody extended stand in one line. */
function writePcrs(out: Output, pcrs: Payload["quote"]["pcrs"]): void {
  const zero = pcrs.filter(([, value]) => /^0+$/.test(value)).map(([pcr]) => pcr)
  for (const [pcr, value] of pcrs) if (!zero.includes(pcr)) row(out, `PCR ${pcr}`, value)
  if (zero.length > 0) row(out, "zero", `PCR ${zero.join(", ")}`)
}

function writeBody(out: Output, body: Body): void {
  row(out, "kind", body.kind === "answer" ? "an answer to a nonce" : "a report, made while nobody asked")
  row(out, "attester", body.attester)
  row(out, "AK", body.ak)
  row(out, "audience", plain(body.audience))
  row(out, "made", plain(body.made))
  row(out, "boot", plain(body.boot))
  row(out, "chain", `${body.chain.id}, number ${body.chain.sequence}`)
  row(out, "previous", body.chain.previous ?? "none: the first of its chain")
  if (body.kind === "answer") row(out, "credential", body.credential)
  if (body.kind === "answer") row(out, "nonce", Buffer.from(body.nonce, "base64").toString("hex"))
  else row(out, "after", body.after ?? "no acknowledged evidence")
}

/** How many facts of one measurement are shown unless all are asked for. */
const most = 16

function writeMeasurement(out: Output, { source, subject, state, facts }: Measurement, all: boolean): void {
  const title = [source, subject].filter(each => each !== "").map(each => plain(each, 200))
  out.write(
    `\n  ${out.style("strong", title.join(" "))}${state === "present" ? "" : `  ${out.style("doubtful", state)}`}\n`,
  )
  const shown = all ? facts : facts.slice(0, most)
  const width = Math.min(Math.max(...shown.map(([name]) => name.length), 0), 32)
  for (const [name, value] of shown)
    out.write(`    ${out.style("faint", plain(name, 200).padEnd(width))}  ${plain(value, 200)}\n`)
  if (shown.length < facts.length) out.write(`    … and ${facts.length - shown.length} more (--all)\n`)
}
