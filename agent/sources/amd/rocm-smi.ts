/**
 * What does rocm-smi say of AMD's cards? Its own word, of what is the same tomorrow: each fact is named after it. The keys of its
 * JSON change case and wording between releases; what is not recognised is left out.
 */
import { z } from "zod"
import type { Fact } from "../../../attestation/protocol/event.ts"
import type { Found, Host } from "../../host.ts"
import { known } from "../source.ts"

export const rocmSmi = "/opt/rocm/bin/rocm-smi"
const question = ["--showid", "--showuniqueid", "--showvbios", "--showfwinfo", "--showproductname", "--showbus"]

/** `driver` and `address` may be "unknown"; `address` is the card's on the PCI bus. */
export type RocmCard = { readonly address: string; readonly fields: ReadonlyMap<string, string> }
export type Rocm = { readonly driver: string; readonly cards: readonly RocmCard[] }

const said = z.record(z.string().max(64), z.record(z.string().max(128), z.union([z.string(), z.number()])))
const steady =
  /^(?:card (?:series|model|vendor|sku)|device (?:name|id|rev)|gpu id|subsystem id|unique id|vbios version|gfx version|gpu memory vendor|.{1,24} firmware version)$/

/** What the program writes with --json. */
export function readRocm(output: Uint8Array): Found<Rocm> {
  const parsed = said.safeParse(jsonIn(output))
  if (!parsed.success) return { state: "unreadable", problem: "its JSON is not in the known form" }
  const cards = Object.entries(parsed.data).filter(([name]) => /^card\d{1,3}$/.test(name))
  const system = lowered(parsed.data["system"] ?? {})
  return {
    state: "present",
    value: {
      driver: system.get("driver version") ?? "unknown",
      cards: cards.slice(0, 64).map(([, each]) => cardIn(each)),
    },
  }
}

function jsonIn(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString("utf8"))
  } catch {
    return undefined
  }
}

const lowered = (fields: Readonly<Record<string, string | number>>): ReadonlyMap<string, string> =>
  new Map(Object.entries(fields).map(([name, value]) => [name.toLowerCase(), String(value)]))

function cardIn(fields: Readonly<Record<string, string | number>>): RocmCard {
  const all = lowered(fields)
  const kept = [...all].filter(([name, value]) => steady.test(name) && value !== "")
  return { address: all.get("pci bus")?.toLowerCase() ?? "unknown", fields: new Map(kept.slice(0, 128)) }
}

/** What it says of the cards that amdgpu runs. */
export async function askRocm(host: Host): Promise<Found<Rocm>> {
  const answer = await host.says(rocmSmi, [...question, "--showdriverversion", "--json"])
  return answer.state === "present" ? readRocm(answer.value) : answer
}

/** Its facts: the program's name stands in front of what is its word. */
export const rocmFacts = ({ fields }: RocmCard): Fact[] =>
  [...fields].map(([name, value]) => known(`rocm-smi/${name}`, value))
