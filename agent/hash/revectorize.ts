/**
 * May V8 make wider instructions of the hashing core? They double its speed where the CPU has AVX2. Only by a person's word: V8
 * 13.6 (Node 24) computed wrong digests with them, and only once a function was hot. So an older Node is refused, each thread
 * tests its core again when it is hot, and node:crypto makes every new fs-verity digest a second time.
 */
import { setFlagsFromString } from "node:v8"
import { CannotHash } from "./refusal.ts"

/** The first version of Node on which no wrong digest was seen. */
const firstGood = 26

/** Before the first thread starts: the flag is the process's. Throws {@link CannotHash} on an older Node. */
export function allowWiderInstructions(version = process.versions.node): void {
  if (Number.parseInt(version, 10) < firstGood)
    throw new CannotHash(
      "unsteady",
      `wider instructions give wrong digests on Node ${version}`,
      `leave revectorize out, or use Node ${firstGood}`,
    )
  setFlagsFromString("--experimental-wasm-revectorize")
}
