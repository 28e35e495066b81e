/**
 * What goes into one ESYS call and what comes out? From a line of esys-table.ts this makes the argument types that the
 * compiler checks, the native arguments, and the results. When the call runs is left to esys.ts.
 */
import { ownError } from "./error.ts"
import type { ESYS } from "./esys-table.ts"
import type { Libraries, NativeValue } from "./library.ts"
import { freeStructure, nativeSlot, slotValue, takeStructure, toStructure } from "./marshal.ts"

/** The ESYS functions in the table, without their prefix. */
export type EsysName = keyof typeof ESYS

declare const esysTr: unique symbol
/** ESYS's own number for an object, session or hierarchy. Not a TPM handle; valid in its context only. */
export type EsysTr = number & { readonly [esysTr]: true }

/** Takes a number that tss2_esys.h fixes (hierarchies, PCRs) as an {@link EsysTr}. */
export function fixedTr(value: number): EsysTr {
  if (isFixedTr(value)) return value
  throw ownError("TPM_BAD_ARGUMENT", "ESYS_TR", `${value} is no number of tss2_esys.h`)
}

const isFixedTr = (value: number): value is EsysTr => Number.isInteger(value) && value >= 0 && value <= 0xfff

type Words<Line extends string> = Line extends `${infer Head} ${infer Tail}` ? [Head, ...Words<Tail>] : [Line]

type Input<Word> = Word extends "tr" ? EsysTr : Word extends "u64" ? bigint : Word extends Small ? number : Structure
type Output<Word> = Word extends "tr" ? EsysTr : Word extends Small ? number : Uint8Array
type Small = "u8" | "u16" | "u32" | "i8" | "i32"
/** Wire bytes, or null where ESYS takes NULL (a nonce to be chosen, an absent sensitive area). */
type Structure = Uint8Array | null

type InputsOf<List> = List extends [infer Head, ...infer Tail]
  ? Head extends `>${string}`
    ? InputsOf<Tail>
    : [Input<Head>, ...InputsOf<Tail>]
  : []
type OutputsOf<List> = List extends [infer Head, ...infer Tail]
  ? Head extends `>${infer Word}`
    ? [Output<Word>, ...OutputsOf<Tail>]
    : OutputsOf<Tail>
  : []

/** The arguments of a call: numbers, and structures as wire bytes (a TPM2B with its size field). */
export type EsysInputs<Name extends EsysName> = InputsOf<Words<(typeof ESYS)[Name]>>
/** The results of a call in the order of the C prototype. */
export type EsysOutputs<Name extends EsysName> = OutputsOf<Words<(typeof ESYS)[Name]>>

interface Scalar {
  readonly native: string
  readonly least: bigint
  readonly most: bigint
}
const unsigned = (native: string, bits: bigint): Scalar => ({ native, least: 0n, most: (1n << bits) - 1n })
const signed = (native: string, bits: bigint): Scalar => ({
  native,
  least: -(1n << (bits - 1n)),
  most: (1n << (bits - 1n)) - 1n,
})

const SCALARS: Readonly<Record<string, Scalar>> = {
  tr: unsigned("uint32", 32n),
  u8: unsigned("uint8", 8n),
  u16: unsigned("uint16", 16n),
  u32: unsigned("uint32", 32n),
  u64: unsigned("uint64", 64n),
  i8: signed("int8", 8n),
  i32: signed("int32", 32n),
}

/** One call, made ready. */
export interface Invocation {
  readonly command: string
  readonly values: readonly NativeValue[]
  /** Every buffer whose address C gets: must stay reachable until the call returned, then be zeroed. */
  readonly held: readonly Uint8Array[]
  readonly outputs: readonly { readonly word: string; readonly slot: Uint8Array }[]
}

/** The C prototype of a line of the table. */
export function prototypeOf(line: string): string[] {
  return ["void *", ...line.split(" ").map(word => SCALARS[word]?.native ?? "void *")]
}

/**
 * Makes a call ready: checks the numbers, unmarshals the structures.
 *
 * @throws TpmError TPM_BAD_ARGUMENT or `TSS2_MU_RC_…`; nothing is left behind
 */
export function prepare(
  libraries: Libraries,
  command: string,
  line: string,
  inputs: readonly (number | bigint | Structure)[],
): Invocation {
  const values: NativeValue[] = []
  const held: Uint8Array[] = []
  const outputs: { word: string; slot: Uint8Array }[] = []
  const remaining = [...inputs]
  try {
    for (const word of line.split(" ")) {
      if (word.startsWith(">")) {
        const slot = nativeSlot()
        outputs.push({ word: word.slice(1), slot })
        held.push(slot)
        values.push(slot)
        continue
      }
      const value = nativeInput(libraries, command, word, remaining.shift())
      if (value instanceof Uint8Array) held.push(value)
      values.push(value)
    }
    if (remaining.length > 0) throw ownError("TPM_BAD_ARGUMENT", command, `${remaining.length} arguments too many`)
    return { command, values, held, outputs }
  } catch (error) {
    release({ held })
    throw error
  }
}

function nativeInput(libraries: Libraries, command: string, word: string, input: unknown): NativeValue {
  const scalar = SCALARS[word]
  if (scalar !== undefined) return checkedScalar(scalar, command, word, input)
  if (input === null) return null
  if (input instanceof Uint8Array) return toStructure(libraries, word, input, command)
  throw ownError("TPM_BAD_ARGUMENT", command, `wants the wire bytes of a ${word}`)
}

function checkedScalar(scalar: Scalar, command: string, word: string, input: unknown): number | bigint {
  const whole = typeof input === "bigint" || (typeof input === "number" && Number.isInteger(input))
  if (whole && BigInt(input) >= scalar.least && BigInt(input) <= scalar.most) return input
  throw ownError("TPM_BAD_ARGUMENT", command, `wants a ${word}, not ${String(input)}`)
}

/**
 * Reads the results of a call that succeeded, and frees what ESYS allocated for all of them, also when one is bad.
 *
 * @throws TpmError `TSS2_MU_RC_…` or TPM_BAD_RESPONSE
 */
export function collect(libraries: Libraries, invocation: Invocation): (number | Uint8Array)[] {
  const results: (number | Uint8Array)[] = []
  const unread = [...invocation.outputs]
  try {
    for (let output = unread.shift(); output !== undefined; output = unread.shift()) {
      results.push(readOutput(libraries, invocation.command, output.word, slotValue(output.slot)))
    }
    return results
  } finally {
    for (const { word, slot } of unread) {
      if (SCALARS[word] === undefined) freeStructure(libraries, slotValue(slot))
    }
  }
}

function readOutput(libraries: Libraries, command: string, word: string, value: bigint): number | Uint8Array {
  if (SCALARS[word] !== undefined) return Number(value)
  if (value !== 0n) return takeStructure(libraries, word, value, command)
  throw ownError("TPM_BAD_RESPONSE", command, `came back without its ${word}`)
}

/** Ends a call: what C saw is zeroed. This use of the buffers, after the call, is also what kept them reachable. */
export function release(invocation: Pick<Invocation, "held">): void {
  for (const bytes of invocation.held) bytes.fill(0)
}
