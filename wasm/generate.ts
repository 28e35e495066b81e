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

const rotate = (x: number, n: number): number => (x >>> n) | (x << (32 - n))

/** The message schedule W (§6.2.2 step 1) of one block. */
const schedule = (block: readonly number[]): number[] => {
  const w = [...block]
  const at = (t: number): number => w[t] ?? 0
  for (let t = 16; t < 64; t++) {
    const s0 = rotate(at(t - 15), 7) ^ rotate(at(t - 15), 18) ^ (at(t - 15) >>> 3)
    const s1 = rotate(at(t - 2), 17) ^ rotate(at(t - 2), 19) ^ (at(t - 2) >>> 10)
    w.push((at(t - 16) + s0 + at(t - 7) + s1) >>> 0)
  }
  return w
}

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

function constants(): string {
  const k = fractions(64, 3n)
  const padding = [0x80000000, ...Array.from({ length: 14 }, () => 0), 4096 * 8]
  const sums = schedule(padding).map((w, t) => (w + (k[t] ?? 0)) >>> 0)
  return [
    HEADER,
    "// Which numbers does SHA-256 begin with? Addresses of tables that prepare() copies into a work area.\n",
    table("K (FIPS 180-4 §4.2.2).", "ROUND_CONSTANTS", "u32", k, 8),
    table("H(0) (§5.3.3), big-endian.", "INITIAL_VALUE", "u8", bigEndian(fractions(8, 2n)), 16),
    table("The last block (§5.1.1) of a message of 4096 bytes.", "PADDING_BYTES", "u8", bigEndian(padding), 16),
    table("W[t] + K[t] of that block, the same for every leaf of fs-verity.", "PADDING_WORDS", "u32", sums, 8),
  ].join("")
}

// ---- rounds ----

/** The same statement for both sets, side by side: a pass that joins them to wider vectors looks for exactly that. */
const pair = (statement: (set: string) => string): string => SETS.map(statement).join("; ")

/** Instead of moving eight variables after each round (§6.2.2 step 3), the next round calls them by other names. */
const roles = (round: number): string[] => LETTERS.map((_, i) => LETTERS[(i - (round % 8) + 8) % 8] ?? "")

/** A sum as a left chain: other shapes are reordered by the compiler, in one set only. */
const sum = (...terms: string[]): string => terms.reduce((left, right) => `add(${left}, ${right})`)

/** One round (§6.2.2 step 3) in both sets. `input` is W[t] + K[t], or its terms. */
function laneRound(t: number, input: (set: string) => string[]): string[] {
  const [a, b, c, d, e, f, g, h] = roles(t)
  return [
    pair(s => `t${s} = ${sum(...input(s), h + s, `choose(${e}${s}, ${f}${s}, ${g}${s})`, `bigSigma1(${e}${s})`)}`),
    pair(s => `${d}${s} = ${sum(d + s, `t${s}`)}`),
    `// ab is bc of the next round: ${a} ⊕ ${b}, then ${b} ⊕ ${c}`,
    pair(s => `ab${s} = v128.xor(${a}${s}, ${b}${s})`),
    pair(s => `${h}${s} = ${sum(`t${s}`, `majority(ab${s}, bc${s}, ${b}${s})`, `bigSigma0(${a}${s})`)}`),
    pair(s => `bc${s} = ab${s}`),
  ]
}

const constantOf = (t: number): string => `k = v128.load32_splat(constants, ${t * 4})`
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
const laneLocals = declare([...inSets([...LETTERS, "t", "ab", "bc"]), "k"], "v128")

/**
 * Eight rounds are a loop's body, as the roles are back in place after them. More would be no faster, and worse: on Zen 5
 * code of 20 KiB instead of 8 ran at a half or a third of its rate in one process of twenty, depending on the addresses
 * it was given; and Node 20 fell to a third with all 64 spelled out.
 */
const BODY = numbers.slice(0, 8)

/** W[t] of both sets, where the words of earlier rounds are in memory. */
const laneWord = (t: number): string => pair(s => `w${s} = v128.load(words, ${rowOffset(t, s)})`)

/** The next W (§6.2.2 step 1), 16 rows after the first that it needs. All loads stand before the stores. */
const laneSchedule = (t: number): string[] => [
  laneWord(t),
  pair(s => `u${s} = v128.load(words, ${rowOffset(t + 1, s)})`),
  pair(s => `v${s} = v128.load(words, ${rowOffset(t + 9, s)})`),
  pair(s => `t${s} = v128.load(words, ${rowOffset(t + 14, s)})`),
  pair(s => `w${s} = ${sum(`w${s}`, `smallSigma0(u${s})`, `v${s}`, `smallSigma1(t${s})`)}`),
  pair(s => `v128.store(words, w${s}, ${rowOffset(t + 16, s)})`),
]

function compressLanes(): string {
  const round = (t: number): string[] => [constantOf(t), ...laneRound(t, s => [`w${s}`, "k"])]
  return [
    "\n/**\n * One block in each of eight lanes. `chains` has 8 rows of 32 bytes; `words` has 64, of which the first 16 are\n",
    " * the block and the others are written here.\n */\n",
    "export function compressLanes(chains: usize, words: usize, constants: usize): void {\n",
    indent([laneLocals, declare(inSets(["u", "v", "w"]), "v128"), ...loadChains], "  "),
    "  for (let i = 0; i < 2; ++i) {\n",
    indent(
      BODY.flatMap(t => [`// rounds ${t}, ${t + 8}`, laneWord(t), ...round(t)]),
      "    ",
    ),
    "    words += 256; constants += 32\n  }\n  words -= 512\n  for (let i = 0; i < 6; ++i) {\n",
    indent(
      BODY.flatMap(t => [`// rounds ${t + 16}, ${t + 24} … ${t + 56}`, ...laneSchedule(t), ...round(t)]),
      "    ",
    ),
    "    words += 256; constants += 32\n  }\n",
    indent(storeChains, "  "),
    "}\n",
  ].join("")
}

/** The padding block of a 4096-byte message is the same in every lane: its schedule is a table, two thirds of the work. */
function compressPadding(): string {
  const round = (t: number): string[] => [
    `// rounds ${t}, ${t + 8} … ${t + 56}`,
    constantOf(t),
    ...laneRound(t, () => ["k"]),
  ]
  return [
    "\n/** The padding block in each of eight lanes; `constants` is the table of W[t] + K[t]. */\n",
    "export function compressPadding(chains: usize, constants: usize): void {\n",
    indent([laneLocals, ...loadChains], "  "),
    "  for (let i = 0; i < 8; ++i) {\n",
    indent(BODY.flatMap(round), "    "),
    "    constants += 32\n  }\n",
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
    'import { add, bigSigma0, bigSigma1, choose, majority, smallSigma0, smallSigma1, smallSigma1Doubled, swapBytes } from "./functions"\n',
    'import { CONSTANTS, STREAM_SUMS } from "./work"\n',
    compressLanes(),
    compressPadding(),
    compressStream(),
  ].join("")

/** The generated files by name, as they should lie in wasm/assembly/. */
export const generated = (): Record<string, string> => ({ "constants.ts": constants(), "rounds.ts": rounds() })

if (argv[1] === fileURLToPath(import.meta.url)) {
  for (const [name, text] of Object.entries(generated())) {
    writeFileSync(new URL(`./assembly/${name}`, import.meta.url), text)
  }
}
