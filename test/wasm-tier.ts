// Does the core compute SHA-256 with the code of one tier of V8 alone? Run by wasm.test.ts as a process of its own, once
// with `--liftoff-only` and once with `--no-liftoff`; in one process the tier changes at a time nobody controls.

import { createHash, randomBytes } from "node:crypto"
import { exit } from "node:process"
import { openCore } from "../wasm/core.ts"
import { sha256Lanes } from "../wasm/lanes.ts"
import { selfTest } from "../wasm/selftest.ts"
import { createSha256 } from "../wasm/sha256.ts"
import { BLOCK_BYTES, level } from "../wasm/tree.ts"

const core = openCore()
const native = (bytes: Uint8Array): Buffer => createHash("sha256").update(bytes).digest()
const wrong: string[] = []

for (let length = 0; length <= 300; length++) {
  const bytes = randomBytes(length)
  if (!native(bytes).equals(createSha256(core).update(bytes).digest())) wrong.push(`stream of ${length}`)
}
const messages = Array.from({ length: 40 }, (_, i) => randomBytes(i * i * 40))
for (const [i, digest] of sha256Lanes(messages, core).entries()) {
  if (!native(messages[i] ?? randomBytes(1)).equals(digest)) wrong.push(`message ${i}`)
}
const data = randomBytes(300 * BLOCK_BYTES)
const leaves = Buffer.concat(
  Array.from({ length: 300 }, (_, i) => native(data.subarray(i * BLOCK_BYTES, (i + 1) * BLOCK_BYTES))),
)
if (!leaves.equals(level(data, core))) wrong.push("leaves")
for (let i = 0; i < 50; i++) selfTest(core)
if (wrong.length > 0) {
  console.error(`wrong digests: ${wrong.join(", ")}`)
  exit(1)
}
