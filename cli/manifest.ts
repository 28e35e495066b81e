/** What does a manifest say, and how do two differ? It is what `sha256sum` prints; the names in it stay spelt as they are there. */
import { type Binary, fromBinary } from "../agent/hash/binary.ts"
import { Problem } from "./exit.ts"
import { plain } from "./terminal.ts"

export const nameOf = (name: Binary): string => fromBinary(name).toString("utf8")

/** As a manifest spells it. */
export const spelt = (name: Binary): string =>
  nameOf(name).replace(/[\\\n\r]/g, each => (each === "\\" ? "\\\\" : each === "\n" ? "\\n" : "\\r"))

/** Name (as it is spelt in the manifest) → SHA-256 in hex. */
export function readManifest(bytes: Uint8Array, path: string): ReadonlyMap<string, string> {
  const lines = Buffer.from(bytes).toString("utf8").split("\n").slice(0, -1)
  return new Map(
    lines.map(line => {
      const [, digest, name] = /^\\?([0-9a-f]{64}) [ *](.*)$/su.exec(line) ?? []
      if (digest !== undefined && name !== undefined) return [name, digest]
      throw new Problem("misuse", `${path} is no manifest: ${plain(line, 80)}`, "sha256sum or assay hash writes one")
    }),
  )
}

/** broken: not what its store promises by the name that it gave the file */
export type Difference = { readonly how: "differs" | "missing" | "new" | "broken"; readonly name: string }

export const lineOf = ({ how, name }: Difference): string => `${how.padEnd(8)} ${plain(name, 4096)}\n`

export function compare(wanted: ReadonlyMap<string, string>, seen: ReadonlyMap<string, string>): Difference[] {
  const names = [...new Set([...wanted.keys(), ...seen.keys()])]
  return names.flatMap((name): Difference[] => {
    if (!seen.has(name)) return [{ how: "missing", name }]
    if (!wanted.has(name)) return [{ how: "new", name }]
    return seen.get(name) === wanted.get(name) ? [] : [{ how: "differs", name }]
  })
}
