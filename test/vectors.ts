/**
 * Where are the cases that nobody here wrote? Beside the checkout, in ../shared/vectors, each folder with a README of origin,
 * licence and expected outcome. They are read in place and belong to their makers.
 */
import { readdirSync, readFileSync } from "node:fs"
import { join, resolve } from "node:path"
import type { HashAlgorithm } from "../attestation/tcg/algorithm.ts"

export const vectors = resolve(import.meta.dirname, "../../shared/vectors")

/** A file of the vectors. Throws where it is missing: a case that is not there was not passed. */
export const vector = (...path: readonly string[]): Buffer => orExplain(() => readFileSync(join(vectors, ...path)))

/** The names in a folder of the vectors, sorted. */
export const vectorsIn = (...folder: readonly string[]): string[] =>
  orExplain(() => readdirSync(join(vectors, ...folder)).toSorted())

function orExplain<T>(reading: () => T): T {
  try {
    return reading()
  } catch (error) {
    throw new Error(`foreign cases are missing; put them at ${vectors}`, { cause: error })
  }
}

/** Bank → PCR → value in hex. */
export type Banks = ReadonlyMap<HashAlgorithm, ReadonlyMap<number, string>>

const isBank = (name: string | undefined): name is HashAlgorithm =>
  name === "sha1" || name === "sha256" || name === "sha384" || name === "sha512"

/** The PCRs that tpm2_pcrread or tpm2_eventlog printed. What comes before them may be in any encoding. */
export function pcrsOf(yaml: Uint8Array): Banks {
  const text = Buffer.from(yaml).toString("latin1")
  const banks = new Map<HashAlgorithm, Map<number, string>>()
  let bank: Map<number, string> | undefined
  for (const line of text.slice(text.lastIndexOf("\npcrs:") + 1).split("\n")) {
    const [, name] = /^\s*(sha\d+):\s*$/.exec(line) ?? []
    const [, pcr, value = ""] = /^\s*(\d+)\s*: 0x([0-9a-fA-F]+)$/.exec(line) ?? []
    if (isBank(name)) banks.set(name, (bank = new Map()))
    else if (bank && pcr !== undefined) bank.set(Number(pcr), value.toLowerCase())
  }
  return banks
}

/** As {@link pcrsOf}, of { bank: { pcr: hex } }. */
export const banksOf = (json: Readonly<Record<string, Readonly<Record<string, string>>>>): Banks =>
  new Map(
    Object.entries(json).flatMap(([name, pcrs]) =>
      isBank(name) ? [[name, new Map(Object.entries(pcrs).map(([pcr, value]) => [Number(pcr), value]))] as const] : [],
    ),
  )
