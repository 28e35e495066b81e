/**
 * Which BPF programs are loaded? No file lists them, so bpftool says, as its own word, of what is the same tomorrow: kind, name and
 * the tag that the kernel computes over the instructions. Numbers, times and who holds them are left out.
 */
import { z } from "zod"
import type { Fact } from "../../../attestation/protocol/event.ts"
import { escaped } from "../../escape.ts"
import type { Found } from "../../found.ts"
import type { Host } from "../../host.ts"
import { type Context, digestFacts, fact, known, prefixed } from "../source.ts"

export const bpftool = "/usr/sbin/bpftool"

const program = z.object({
  type: z.union([z.string().max(64), z.int()]),
  name: z.string().max(64).default(""),
  tag: z.string().regex(/^[0-9a-f]{16}$/),
  gpl_compatible: z.boolean().optional(),
})
/** Where another program has spoken, and bpftool stops, it says so in an object. */
const said = z.array(program).max(10_000)

/** What bpftool writes with -j: each distinct program as kind, name and tag. */
export function readPrograms(output: Uint8Array): Found<readonly string[]> {
  const parsed = said.safeParse(jsonIn(output))
  if (!parsed.success) return { state: "unreadable", problem: "its JSON is not in the known form" }
  const told = parsed.data.map(each => `${each.type}/${each.name || "unnamed"} tag:${each.tag}`)
  return { state: "present", value: [...new Set(told)].toSorted() }
}

function jsonIn(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString("utf8"))
  } catch {
    return undefined
  }
}

/** The programs that are loaded, and digest of the one that says so. Where nobody may load any there is nothing to ask. */
export async function bpfFacts(context: Context): Promise<Fact[]> {
  const answer = await askBpftool(context.host)
  if (answer.state !== "present") return [fact(bpftool, answer)]
  const itself = (await digestFacts(context, bpftool)).map(prefixed("program"))
  const loaded = answer.value.map(each => known("loaded", escaped(each, 512)))
  return [...itself, ...(loaded.length > 0 ? loaded : [known("loaded", "none")])]
}

async function askBpftool(host: Host): Promise<Found<readonly string[]>> {
  const answer = await host.says(bpftool, ["-j", "prog", "show"])
  return answer.state === "present" ? readPrograms(answer.value) : answer
}
