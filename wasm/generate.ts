// What are the 64 rounds of SHA-256, written once? This writes assembly/constants.ts and assembly/rounds.ts, where eight
// or sixteen rounds at a time are spelled out: WebAssembly has no arrays of locals. Run `node wasm/generate.ts` after a
// change; a test holds the checked-in files to the output. Everything that is not repeated per round is ordinary
// AssemblyScript beside them.

import { writeFileSync } from "node:fs"
import { argv } from "node:process"
import { fileURLToPath } from "node:url"

const HEADER = "// Written by wasm/generate.ts: change that, not this.\n"
const LETTERS = ["a", "b", "c", "d", "e", "f", "g", "h"] as const

/** Two sets of four lanes, x and y: 2 % faster than one on Intel, 8 % on Zen 5, and a pass of V8 can join them to AVX2. */
const SETS = ["x", "y"] as const

// ---- constants (FIPS 180-4 §4.2.2, §5.3.3), from their definition ----

const primes = (count: number): number[] => {
  const found: number[] = []
  for (let n = 2; found.length < count; n++) if (found.every(p => n % p !== 0)) found.push(n)
  return found
}

/** The largest integer whose power does not exceed the value. */
const root = (value: bigint, power: bigint): bigint => {
  let low = 0n
  for (let bit = 1n << 40n; bit > 0n; bit >>= 1n) if ((low + bit) ** power <= value) low += bit
  return low
}

/** The first 32 bits of the fractional part of a root of each prime. */
const fractions = (count: number, power: bigint): number[] =>
  primes(count).map(p => Number(root(BigInt(p) << (32n * power), power) & 0xffffffffn))

const table = (comment: string, name: string, kind: string, words: readonly number[], perLine: number): string => {
  const lines: string[] = []
  for (let i = 0; i < words.length; i += perLine) {
    const line = words
      .slice(i, i + perLine)
      .map(x => `0x${(x >>> 0).toString(16).padStart(kind === "u8" ? 2 : 8, "0")}`)
    lines.push(`  ${line.join(", ")},`)
  }
  return `\n/** ${comment} */\nexport const ${name} = memory.data<${kind}>([\n${lines.join("\n")}\n])\n`
}

const bigEndian = (words: readonly number[]): number[] =>
  words.flatMap(x => [(x >>> 24) & 255, (x >>> 16) & 255, (x >>> 8) & 255, x & 255])

const constants = (): string =>
  [
    HEADER,
    "// Which numbers does SHA-256 begin with? Addresses of tables that prepare() copies into a work area.\n",
    table("K (FIPS 180-4 §4.2.2).", "ROUND_CONSTANTS", "u32", fractions(64, 3n), 8),
    table("H(0) (§5.3.3), big-endian.", "INITIAL_VALUE", "u8", bigEndian(fractions(8, 2n)), 16),
  ].join("")

// ---- rounds ----

/** The same statement for both sets, side by side: a pass that joins them to wider vectors looks for exactly that. */
const pair = (statement: (set: string) => string): string => SETS.map(statement).join("; ")

/** Instead of moving eight variables after each round (§6.2.2 step 3), the next round calls them by other names. */
const roles = (round: number): string[] => LETTERS.map((_, i) => LETTERS[(i - (round % 8) + 8) % 8] ?? "")

/** A sum as a left chain: other shapes are reordered by the compiler, in one set only. */
const sum = (...terms: string[]): string => terms.reduce((left, right) => `add(${left}, ${right})`)

/** One round (§6.2.2 step 3) in both sets, of the word w and the constant k. */
function laneRound(t: number): string[] {
  const [a, b, c, d, e, f, g, h] = roles(t)
  return [
    pair(s => `t${s} = ${sum(`w${s}`, "k", h + s, `choose(${e}${s}, ${f}${s}, ${g}${s})`, `bigSigma1(${e}${s})`)}`),
    pair(s => `${d}${s} = ${sum(d + s, `t${s}`)}`),
    `// ab is bc of the next round: ${a} ⊕ ${b}, then ${b} ⊕ ${c}`,
    pair(s => `ab${s} = v128.xor(${a}${s}, ${b}${s})`),
    pair(s => `${h}${s} = ${sum(`t${s}`, `majority(ab${s}, bc${s}, ${b}${s})`, `bigSigma0(${a}${s})`)}`),
    pair(s => `bc${s} = ab${s}`),
  ]
}

const numbers = Array.from({ length: 16 }, (_, i) => i)
const indent = (lines: readonly string[], by: string): string => lines.map(line => `${by}${line}\n`).join("")
const declare = (names: readonly string[], type: string): string => `let ${names.map(n => `${n}: ${type}`).join(", ")}`
const inSets = (names: readonly string[]): string[] => names.flatMap(name => SETS.map(s => name + s))
const rowOffset = (row: number, set: string): number => row * 32 + (set === "x" ? 0 : 16)

const loadChains = [
  ...LETTERS.map((letter, i) => pair(s => `${letter}${s} = v128.load(chains, ${rowOffset(i, s)})`)),
  pair(s => `bc${s} = v128.xor(b${s}, c${s})`),
]
/** §6.2.2 step 4. */
const storeChains = LETTERS.flatMap((letter, i) => [
  pair(s => `t${s} = ${sum(letter + s, `v128.load(chains, ${rowOffset(i, s)})`)}`),
  pair(s => `v128.store(chains, t${s}, ${rowOffset(i, s)})`),
])

/** Eight rounds are a loop's body: after them the roles are back in place. Why so few, schedule.ts says. */
const BODY = numbers.slice(0, 8)

function compressLanes(): string {
  const body = BODY.flatMap(t => [
    `// rounds ${t}, ${t + 8} … ${t + 56}`,
    `k = v128.load32_splat(constants, ${t * 4})`,
    pair(s => `w${s} = v128.load(words, ${rowOffset(t, s)})`),
    ...laneRound(t),
  ])
  return [
    "\n/** One block in each of eight lanes: 8 rows of 32 bytes at `chains`, the 64 of its schedule at `words`. */\n",
    "export function compressLanes(chains: usize, words: usize, constants: usize): void {\n",
    indent([declare([...inSets([...LETTERS, "t", "w", "ab", "bc"]), "k"], "v128"), ...loadChains], "  "),
    "  for (let i = 0; i < 8; ++i) {\n",
    indent([...body, "words += 256; constants += 32"], "    "),
    "  }\n",
    indent(storeChains, "  "),
    "}\n",
  ].join("")
}

// ---- one message: the schedule in vectors, the rounds in scalars ----

const scalarRound = (t: number): string[] => {
  const [a, b, , d, e, f, g, h] = roles(t)
  return [
    `t = ${h} + load<u32>(sums, ${(t % 16) * 4}) + (((${f} ^ ${g}) & ${e}) ^ ${g}) + (rotr<u32>(${e}, 6) ^ rotr<u32>(${e}, 11) ^ rotr<u32>(${e}, 25))`,
    `${d} += t; ab = ${a} ^ ${b}`,
    `${h} = t + ((ab & bc) ^ ${b}) + (rotr<u32>(${a}, 2) ^ rotr<u32>(${a}, 13) ^ rotr<u32>(${a}, 22)); bc = ab`,
  ]
}

/** Four words W[t…t+3] in place of W[t−16…t−13]. The last two need σ1 of the first two, so σ1 is taken in two halves. */
function scalarSchedule(t: number): string[] {
  const quad = (back: number): string => `m${((t - back) / 4 + 4) % 4}`
  return [
    `// words ${t + 16} to ${t + 19}, then + 16, + 32`,
    `v = ${sum(quad(16), `smallSigma0(v128.shuffle<i32>(${quad(16)}, ${quad(12)}, 1, 2, 3, 4))`, `v128.shuffle<i32>(${quad(8)}, ${quad(4)}, 1, 2, 3, 4)`)}`,
    `u = smallSigma1Doubled(v128.shuffle<i32>(${quad(4)}, ${quad(4)}, 2, 2, 3, 3))`,
    "v = add(v, v128.shuffle<i32>(u, zero, 0, 2, 4, 4))",
    "u = smallSigma1Doubled(v128.shuffle<i32>(v, v, 0, 0, 1, 1))",
    `${quad(16)} = add(v, v128.shuffle<i32>(zero, u, 0, 0, 4, 6))`,
    `v128.store(sums, add(${quad(16)}, v128.load(constants, ${64 + t * 4})), ${64 + t * 4})`,
  ]
}

function compressStream(): string {
  const letters = [...LETTERS]
  const begin = [0, 1, 2, 3].flatMap(q => [
    `m${q} = swapBytes(v128.load(input, ${q * 16}))`,
    `v128.store(sums, add(m${q}, v128.load(constants, ${q * 16})), ${q * 16})`,
  ])
  const ahead = numbers.flatMap(t => (t % 4 === 0 ? [...scalarSchedule(t), ...scalarRound(t)] : scalarRound(t)))
  return [
    "\n/** `blocks` blocks of one message. W[t] + K[t] is computed by fours, 16 rounds ahead: +12 % over scalar words. */\n",
    "export function compressStream(work: usize, chain: usize, input: usize, blocks: i32): void {\n",
    indent(
      letters.map((x, i) => `let ${x} = bswap<u32>(load<u32>(chain, ${i * 4})), ${x}0 = ${x}`),
      "  ",
    ),
    indent(["let t: u32, ab: u32, bc: u32", declare(["m0", "m1", "m2", "m3", "u", "v"], "v128")], "  "),
    indent(["const zero = i32x4.splat(0)", "for (; blocks > 0; --blocks) {"], "  "),
    indent(["let sums = work + STREAM_SUMS, constants = work + CONSTANTS", ...begin, "bc = b ^ c"], "    "),
    indent(["for (let i = 0; i < 3; ++i) {"], "    "),
    indent([...ahead, "sums += 64; constants += 64"], "      "),
    indent(["}", ...numbers.flatMap(scalarRound)], "    "),
    indent(
      letters.map(x => `${x} += ${x}0; ${x}0 = ${x}`),
      "    ",
    ),
    indent(["input += 64"], "    "),
    "  }\n",
    indent(
      letters.map((x, i) => `store<u32>(chain, bswap<u32>(${x}), ${i * 4})`),
      "  ",
    ),
    "}\n",
  ].join("")
}

const rounds = (): string =>
  [
    HEADER,
    "// What is one compression (FIPS 180-4 §6.2.2), in eight lanes and in one? Which blocks it is given is for index.ts.\n",
    'import { add, bigSigma0, bigSigma1, choose, majority, smallSigma0, smallSigma1Doubled, swapBytes } from "./functions"\n',
    'import { CONSTANTS, STREAM_SUMS } from "./work"\n',
    compressLanes(),
    compressStream(),
  ].join("")

/** The generated files by name, as they should lie in wasm/assembly/. */
export const generated = (): Record<string, string> => ({ "constants.ts": constants(), "rounds.ts": rounds() })

if (argv[1] === fileURLToPath(import.meta.url)) {
  for (const [name, text] of Object.entries(generated())) {
    writeFileSync(new URL(`./assembly/${name}`, import.meta.url), text)
  }
}
