/**
 * Which input breaks a parser? `npm run fuzz` alters what each parser accepts, for as long as it is told; a case that breaks
 * one is printed in hex and kept in test/cases/, which the tests try for ever after.
 *
 *   npm run fuzz -- --seconds 60 --target tpm-quote --seed 42
 */
import { createHash, randomInt } from "node:crypto"
import { writeFileSync } from "node:fs"
import { parseArgs } from "node:util"
import type { Crash, Tally } from "./fuzz/fuzz.ts"
import { targets } from "./fuzz/targets.ts"
import { watched } from "./fuzz/watch.ts"

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "20" },
    target: { type: "string", multiple: true },
    seed: { type: "string" },
  },
})
const seconds = Number(values.seconds)
const seed = Number(values.seed ?? randomInt(2 ** 31))
const known = targets.map(each => each.name)
const names = values.target ?? known
const unknown = names.find(name => !known.includes(name))

if (unknown !== undefined || !(seconds > 0) || !Number.isSafeInteger(seed)) {
  process.stderr.write(`fuzz: error: ${unknown === undefined ? "not a number" : `there is no target ${unknown}`}\n`)
  process.stderr.write(`fuzz: hint: --seconds N for each target, --seed N, --target ${known.join(" | ")}\n`)
  process.exit(64)
}

process.stdout.write(`seed ${seed}\n`)
for await (const { tally, crash } of watched(new URL("./fuzz/targets.ts", import.meta.url), names, {
  ...{ seed, seconds, cases: Number.MAX_SAFE_INTEGER },
})) {
  process.stdout.write(`${lineFor(tally)}\n`)
  if (crash === "none") continue
  process.exitCode = 1
  process.stdout.write(
    `${tally.target}: ${crash.what}\n${Buffer.from(crash.bytes).toString("hex")}\nkept as ${keep(crash)}\n`,
  )
}

function lineFor({ target, cases, accepted, answers, slowest }: Tally): string {
  const counts = `${cases} cases, ${accepted} accepted, ${answers} different answers`
  return `${target.padEnd(24)} ${counts}, the slowest took ${slowest.toFixed(1)} ms`
}

/** Writes the case down where the tests find it; its name begins with the target's. */
function keep({ target, bytes }: Crash): string {
  const digest = createHash("sha256").update(bytes).digest("hex").slice(0, 12)
  const path = `test/cases/${target}.${digest}.hex`
  writeFileSync(new URL(`../${path}`, import.meta.url), `${Buffer.from(bytes).toString("hex")}\n`)
  return path
}
