/**
 * Do those who speak of the same thing say the same? Each disagreement becomes a fact that a verifier turns into a finding.
 * Which of them is right is not decided here: none of them is proof.
 */
import type { Fact } from "../../../attestation/protocol/event.ts"
import { contradiction } from "../source.ts"
import type { Card } from "./procfs.ts"
import type { SmiCard } from "./smi.ts"

/** Who says what. An empty value, or one that says that it is none, is nobody's word. */
export type Word = { readonly by: string; readonly value: string | undefined }

const nothing = /^(?:|N\/A|unknown|[?.]+|\[?N\/A\]?)$/i

/** A contradiction if two of `words` differ, letter case and the maker's name in front aside. */
export function contradictions(about: string, words: readonly Word[]): Fact[] {
  const said = words.filter(({ value }) => value !== undefined && !nothing.test(value))
  const different = new Set(said.map(({ value }) => value?.toLowerCase().replace(/^nvidia /, "")))
  return different.size < 2
    ? []
    : [
        contradiction(
          about,
          said.map(({ by, value }) => `${by} says ${value}`),
        ),
      ]
}

const questions = [
  ["model", "Model", "product_name"],
  ["UUID", "GPU UUID", "uuid"],
  ["VBIOS", "Video BIOS", "vbios_version"],
  ["GSP firmware", "GPU Firmware", "gsp_firmware_version"],
] as const

/** What driver and program say differently of one card, and firmware that is not the driver's own. */
export function cardContradictions(card: Card, smi: SmiCard | undefined, driver: string): Fact[] {
  const pairs = questions.flatMap(([about, proc, xml]) =>
    contradictions(about, [
      { by: "driver", value: card.fields.get(proc) },
      { by: "nvidia-smi", value: smi?.fields.get(xml) },
    ]),
  )
  const firmware = contradictions("GSP firmware and driver", [
    { by: "firmware", value: card.fields.get("GPU Firmware") },
    { by: "driver", value: driver },
  ])
  return [...pairs, ...firmware]
}

/** Cards that only one of them lists. */
export function listContradictions(
  lists: readonly { readonly by: string; readonly addresses: readonly string[] }[],
): Fact[] {
  const all = [...new Set(lists.flatMap(each => each.addresses))].toSorted()
  return all.flatMap(address => {
    const without = lists.filter(each => !each.addresses.includes(address))
    if (without.length === 0) return []
    const words = lists.map(({ by, addresses }) => `${by} ${addresses.includes(address) ? "lists it" : "does not"}`)
    return [contradiction(`card ${address}`, words)]
  })
}
