/**
 * What does the header of a safetensors file claim (huggingface/safetensors, README)? A length, JSON of that length, and data
 * that the tensors cover without a hole. Nothing here is proved: claims.ts.
 */
import { z } from "zod"
import { BadHeader, ShortHeader } from "./gguf.ts"

export type SafetensorsHeader = {
  readonly tensors: number
  readonly metadata: ReadonlyMap<string, string>
  /** how many tensors have each type */
  readonly types: ReadonlyMap<string, number>
}

/** The format allows headers of 100 MB; those seen have less than 2 MB. */
export const safetensorsLimits = { header: 16 << 20, tensors: 1 << 18, metadata: 256, value: 512 } as const

/** Bits of one element. */
const widths: Readonly<Record<string, number>> = {
  ...{ BOOL: 8, U8: 8, I8: 8, F8_E5M2: 8, F8_E4M3: 8, F8_E8M0: 8, F8_E4M3FNUZ: 8, F8_E5M2FNUZ: 8 },
  ...{ U16: 16, I16: 16, F16: 16, BF16: 16, U32: 32, I32: 32, F32: 32, U64: 64, I64: 64, F64: 64, C64: 64 },
  ...{ F4: 4, F6_E2M3: 6, F6_E3M2: 6 },
}

const tensor = z.object({
  dtype: z.string().max(32),
  shape: z.array(z.int().min(0)).max(64),
  data_offsets: z.tuple([z.int().min(0), z.int().min(0)]),
})
type Tensor = z.infer<typeof tensor>
const header = z.object({ __metadata__: z.record(z.string(), z.string()).optional() }).catchall(tensor)

/** The header in `bytes`, which begin a file of `fileSize` bytes. Throws {@link ShortHeader} and {@link BadHeader}. */
export function readSafetensors(bytes: Uint8Array, fileSize: number): SafetensorsHeader {
  const length = lengthIn(bytes, fileSize)
  if (bytes.length < 8 + length) throw new ShortHeader(8 + length)
  const read = header.safeParse(parsed(bytes.subarray(8, 8 + length)))
  if (!read.success) throw new BadHeader("its JSON describes no tensors")
  const { __metadata__: metadata = {}, ...rest } = read.data
  const tensors = Object.values(rest)
  if (tensors.length > safetensorsLimits.tensors) throw new BadHeader("too many tensors")
  assertCovered(tensors, fileSize - 8 - length)
  return { tensors: tensors.length, metadata: kept(metadata), types: typesOf(tensors) }
}

function lengthIn(bytes: Uint8Array, fileSize: number): number {
  if (fileSize < 8) throw new BadHeader("it is shorter than 8 bytes")
  if (bytes.length < 8) throw new ShortHeader(8)
  const length = Buffer.from(bytes.buffer, bytes.byteOffset, 8).readBigUInt64LE()
  if (length > BigInt(fileSize - 8)) throw new BadHeader("its header is longer than the file")
  if (length > BigInt(safetensorsLimits.header)) throw new BadHeader(`its header is longer than 16 MiB`)
  return Number(length)
}

function parsed(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes))
  } catch {
    throw new BadHeader("its header is no JSON")
  }
}

/** Every byte of the data belongs to one tensor, and each has as many as its shape says. */
function assertCovered(tensors: readonly Tensor[], size: number): void {
  let at = 0
  for (const { dtype, shape, data_offsets } of tensors.toSorted((a, b) => begin(a) - begin(b) || end(a) - end(b))) {
    if (data_offsets[0] !== at) throw new BadHeader("its tensors leave a hole or overlap")
    const bits = shape.reduce((product, each) => product * each, 1) * (widths[dtype] ?? NaN)
    if (bits >= 0 && bits !== (data_offsets[1] - at) * 8) throw new BadHeader("a tensor is not as long as its shape")
    at = data_offsets[1]
  }
  if (at !== size) throw new BadHeader("its tensors do not cover the file")
}

const begin = ({ data_offsets: [from] }: Tensor): number => from
const end = ({ data_offsets: [, to] }: Tensor): number => to

function typesOf(tensors: readonly Tensor[]): Map<string, number> {
  const types = new Map<string, number>()
  for (const { dtype } of tensors) types.set(dtype, (types.get(dtype) ?? 0) + 1)
  return types
}

function kept(metadata: Readonly<Record<string, string>>): Map<string, string> {
  const entries = Object.entries(metadata).slice(0, safetensorsLimits.metadata)
  return new Map(
    entries.map(([key, value]) => [
      key,
      value.length > safetensorsLimits.value ? `a string of ${value.length} characters` : value,
    ]),
  )
}
