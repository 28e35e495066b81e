/**
 * What is the smallest model that llama.cpp loads? A GGUF file (version 3) of the architecture "llama" with two blocks and
 * weights drawn from a seed, and an adapter (LoRA) for it. What loads them: server.ts.
 */
import { writeFileSync } from "node:fs"

const sizes = Object.freeze({ embedding: 64, blocks: 2, feed: 176, heads: 4, context: 512, rank: 4, alignment: 32 })
/** Types of values in GGUF, as far as they are written here. */
const types = Object.freeze({ u32: 4, i32: 5, f32: 6, text: 8, list: 9 })

type Value = { readonly type: number; readonly bytes: Buffer }
type Tensor = { readonly name: string; readonly shape: readonly number[] }

const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}
const u64 = (value: number): Buffer => {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(value))
  return bytes
}
const f32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeFloatLE(value)
  return bytes
}
const said = (text: string): Buffer => Buffer.concat([u64(Buffer.byteLength(text)), Buffer.from(text)])

const number = (value: number): Value => ({ type: types.u32, bytes: u32(value) })
const real = (value: number): Value => ({ type: types.f32, bytes: f32(value) })
const text = (value: string): Value => ({ type: types.text, bytes: said(value) })
const list = (type: number, parts: readonly Buffer[]): Value => ({
  type: types.list,
  bytes: Buffer.concat([u32(type), u64(parts.length), ...parts]),
})

/** A vocabulary of every byte, and three marks: unknown, begin and end. */
const tokens = [
  "<unk>",
  "<s>",
  "</s>",
  ...Array.from({ length: 256 }, (_, i) => `<0x${i.toString(16).toUpperCase().padStart(2, "0")}>`),
]
const kinds = tokens.map((_, i) => (i === 0 ? 2 : i < 3 ? 3 : 6))

const vocabulary: Readonly<Record<string, Value>> = {
  "tokenizer.ggml.model": text("llama"),
  "tokenizer.ggml.tokens": list(types.text, tokens.map(said)),
  "tokenizer.ggml.scores": list(
    types.f32,
    tokens.map((_, i) => f32(-i)),
  ),
  "tokenizer.ggml.token_type": list(types.i32, kinds.map(u32)),
  "tokenizer.ggml.bos_token_id": number(1),
  "tokenizer.ggml.eos_token_id": number(2),
  "tokenizer.ggml.unknown_token_id": number(0),
}

/** Writes a model of half a megabyte; another seed makes another model. */
export function writeModel(path: string, name: string, seed: number): void {
  const { embedding, blocks, feed, heads, context } = sizes
  const told = {
    "general.architecture": text("llama"),
    "general.name": text(name),
    "llama.context_length": number(context),
    "llama.embedding_length": number(embedding),
    "llama.block_count": number(blocks),
    "llama.feed_forward_length": number(feed),
    "llama.attention.head_count": number(heads),
    "llama.attention.head_count_kv": number(heads),
    "llama.rope.dimension_count": number(embedding / heads),
    "llama.vocab_size": number(tokens.length),
    "llama.attention.layer_norm_rms_epsilon": real(1e-5),
    ...vocabulary,
  }
  const whole: Tensor[] = [
    { name: "token_embd.weight", shape: [embedding, tokens.length] },
    { name: "output_norm.weight", shape: [embedding] },
    { name: "output.weight", shape: [embedding, tokens.length] },
  ]
  writeFileSync(path, gguf(told, [...whole, ...Array.from({ length: blocks }, (_, i) => block(i)).flat()], seed))
}

function block(i: number): Tensor[] {
  const { embedding, feed } = sizes
  const square = [embedding, embedding]
  const shapes: Readonly<Record<string, readonly number[]>> = {
    attn_norm: [embedding],
    attn_q: square,
    attn_k: square,
    attn_v: square,
    attn_output: square,
    ffn_norm: [embedding],
    ffn_gate: [embedding, feed],
    ffn_up: [embedding, feed],
    ffn_down: [feed, embedding],
  }
  return Object.entries(shapes).map(([name, shape]) => ({ name: `blk.${i}.${name}.weight`, shape }))
}

/** Writes an adapter for one matrix of such a model. */
export function writeAdapter(path: string, seed: number): void {
  const { embedding, rank } = sizes
  const told = {
    "general.architecture": text("llama"),
    "general.type": text("adapter"),
    "general.name": text("adapter"),
    "adapter.type": text("lora"),
    "adapter.lora.alpha": real(8),
  }
  const tensors = [
    { name: "blk.0.attn_q.weight.lora_a", shape: [embedding, rank] },
    { name: "blk.0.attn_q.weight.lora_b", shape: [rank, embedding] },
  ]
  writeFileSync(path, gguf(told, tensors, seed))
}

/** Header, what the file tells of itself, where its tensors are, and the tensors: 32-bit floats, each aligned. */
function gguf(told: Readonly<Record<string, Value>>, tensors: readonly Tensor[], seed: number): Buffer {
  const data = tensors.map(({ shape }, i) => weights(shape, seed + i))
  const offsets = data.map((_, i) => data.slice(0, i).reduce((sum, each) => sum + aligned(each.length), 0))
  const head = Buffer.concat([
    Buffer.from("GGUF"),
    u32(3),
    u64(tensors.length),
    u64(Object.keys(told).length),
    ...Object.entries(told).flatMap(([key, { type, bytes }]) => [said(key), u32(type), bytes]),
    ...tensors.flatMap(({ name, shape }, i) => [
      said(name),
      u32(shape.length),
      ...shape.map(u64),
      u32(0),
      u64(offsets[i] ?? 0),
    ]),
  ])
  return Buffer.concat([head, ...data].map(padded))
}

const aligned = (length: number): number => Math.ceil(length / sizes.alignment) * sizes.alignment
const padded = (bytes: Buffer): Buffer => Buffer.concat([bytes, Buffer.alloc(aligned(bytes.length) - bytes.length)])

/** Small numbers around zero; a vector of norms is around one. */
function weights(shape: readonly number[], seed: number): Buffer {
  const count = shape.reduce((product, each) => product * each, 1)
  const bytes = Buffer.alloc(count * 4)
  let state = (seed * 2654435761 + 1) >>> 0
  for (let i = 0; i < count; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    bytes.writeFloatLE((state / 2 ** 32 - 0.5) * 0.2 + (shape.length === 1 ? 1 : 0), i * 4)
  }
  return bytes
}
