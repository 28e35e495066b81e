/**
 * Does the whole survive being killed, many times? `npm run soak` kills agent, broker, collector and TPM fifty times each at
 * moments drawn from a seed.
 *
 *   npm run soak -- --times 5 --seed 42
 */
import { randomInt } from "node:crypto"
import { parseArgs } from "node:util"
import { exercise } from "./soak/kills.ts"

const { values } = parseArgs({ options: { times: { type: "string", default: "50" }, seed: { type: "string" } } })
const seed = Number(values.seed ?? randomInt(2 ** 31))

process.stdout.write(`seed ${seed}\n`)
const { faults, ...seen } = await exercise(seed, Number(values.times), line => process.stdout.write(`${line}\n`))
process.stdout.write(`${JSON.stringify(seen)}\n`)
for (const fault of faults) process.stdout.write(`fault: ${fault}\n`)
process.exitCode = faults.length === 0 ? 0 : 1
