/**
 * Why is a machine not green? For each finding what was expected, what came, where in which log, and what to do: of the newest
 * verdict that the collector gave, or of one in a folder that `export` wrote. It judges nothing anew.
 */
import { stat } from "node:fs/promises"
import { join } from "node:path"
import { z } from "zod"
import { placeOf } from "../attestation/appraise/places.ts"
import { readResult, type Result } from "../attestation/appraise/result.ts"
import { envelopeLimit, readEnvelope } from "../attestation/protocol/dsse.ts"
import { type Effect, type Finding, findings } from "../attestation/verify/finding.ts"
import type { Logs } from "../attestation/verify/log.ts"
import { fromBase64 } from "../attestation/wire/text.ts"
import { exportedFrom } from "./archive.ts"
import { readBounded, readBundle } from "./bundle.ts"
import { asJson, command } from "./command.ts"
import { configOf } from "./configuration.ts"
import { flag, text } from "./given.ts"
import { askOffice, whichAttester } from "./office.ts"
import { type Output, plain, wrapped, writeJsonLine } from "./terminal.ts"
import { lookOf, row, told } from "./verdict.ts"

export const explain = command({
  name: "explain",
  says: "say why a machine is not green: what was expected, what came, where, and what to do",
  teaches:
    "Takes the newest verdict on a machine and tells each finding as a difference: what was recorded or approved, what came, which event " +
    "of the firmware log, entry of the kernel's or record of the agent's says so, and what to do about it. With a folder that assay " +
    "export wrote it needs no collector. Notes are left out unless you ask for all.",
  takes: [["[attester]", "by name or label, or a folder that export wrote; may be left out where there is only one"]],
  options: [["--all", "notes too"], configOf("collector"), asJson],
  examples: ["assay explain workstation-7"],
  exits: ["good", "failed", "misuse", "missing", "configuration"],
  reads: z.object({ attester: text.optional(), all: flag, config: text.optional(), json: flag }),
  run: async ({ attester, all, config, json }, terminal) => {
    const { result, logs } = await verdictOn(attester, config)
    const effects: readonly Effect[] = all ? order : order.slice(0, 3)
    const found = result.findings.filter(({ id }) => effects.includes(findings[id].effect))
    const placed = found.map(each => ({ ...each, place: placeOf(each, logs) ?? null }))
    if (json) {
      const { attester: whose, evidence, tier } = result
      const list = placed.map(({ place, ...each }) => ({ ...told(each), place }))
      writeJsonLine(terminal, { attester: whose, evidence, tier, findings: list })
    } else writeExplained(terminal.out, result, placed)
    return "good"
  },
})

const order: readonly Effect[] = ["refuses", "contraindicates", "warns", "notes"]

async function verdictOn(
  given: string | undefined,
  config: string | undefined,
): Promise<{ result: Result; logs: Logs }> {
  const isFolder =
    given !== undefined &&
    (await stat(given).then(
      found => found.isDirectory(),
      () => false,
    ))
  if (isFolder) {
    const { logs } = await readBundle(given, undefined)
    return { result: resultIn(await readBounded(join(given, "result.dsse.json"), envelopeLimit)), logs }
  }
  return askOffice(config, async office => {
    const { kept, logs } = await exportedFrom(office, await whichAttester(office, given), "newest")
    return { result: resultIn(fromBase64(kept.result)), logs }
  })
}

const resultIn = (envelope: Uint8Array): Result => readResult(fromBase64(readEnvelope(envelope).payload))

type Placed = Finding & { readonly place: string | null }

function writeExplained(out: Output, { attester, evidence, received, tier }: Result, found: readonly Placed[]): void {
  row(out, "attester", attester)
  row(out, "evidence", `${evidence}, received ${received}`)
  row(out, "verdict", out.style("strong", out.style(lookOf[tier], tier)))
  if (found.length === 0) out.write("\n  nothing was found\n")
  const ids = [...new Set(found.map(({ id }) => id))].toSorted((a, b) => gravity(a) - gravity(b))
  for (const id of ids)
    writeKind(
      out,
      id,
      found.filter(each => each.id === id),
    )
}

const gravity = (id: Finding["id"]): number => order.indexOf(findings[id].effect)

/** How many of one kind a person is shown. */
const most = 12

function writeKind(out: Output, id: Finding["id"], found: readonly Placed[]): void {
  const { effect, means, fix } = findings[id]
  const look = effect === "warns" ? "doubtful" : effect === "notes" ? "faint" : "bad"
  out.write(`\n  ${out.style(look, id)}  ${wrapped(means, out.width - id.length - 6, 4)}\n`)
  for (const each of found.slice(0, most)) writeOne(out, each)
  if (found.length > most) out.write(`    … and ${found.length - most} more (--json lists all)\n`)
  out.write(`    ${out.style("strong", "→")} ${wrapped(fix, out.width - 8, 6)}\n`)
}

function writeOne(out: Output, { component, seen, wanted, place }: Placed): void {
  const line = (name: string, value: string): void =>
    out.write(`      ${out.style("faint", name.padEnd(10))}${wrapped(plain(value, 500), out.width - 18, 16)}\n`)
  out.write(`    ${plain(component, 200)}\n`)
  line("expected", wanted)
  line("came", seen)
  if (place !== null) line("where", place)
}
