/**
 * What does a model say that it is? Headers of weight files, chat templates, and the layout of its folder, for people: anybody
 * can write anything there. None of it is measured, so that another version of this reading changes no evidence.
 */
import { createHash } from "node:crypto"
import { open } from "node:fs/promises"
import { z } from "zod"
import { escaped } from "../escape.ts"
import { type Binary, fromBinary } from "./binary.ts"
import { BadHeader, readGguf, ShortHeader } from "./gguf.ts"
import type { HashedFile } from "./model.ts"
import { ollamaPlace, readManifest } from "./ollama.ts"
import { readSafetensors } from "./safetensors.ts"
import { codeOf } from "./refusal.ts"

/** What a folder looks like, by the names in it. */
export type Form = "ollama" | "huggingface snapshot" | "triton repository" | "transformers folder" | "gguf" | "files"
/** A key and what the file claims for it, each one line; the key `unreadable` says why there is nothing else. */
export type Claim = readonly [key: string, value: string]
export type FileClaims = { readonly name: Binary; readonly claims: readonly Claim[] }
export type ModelClaims = { readonly form: Form; readonly files: readonly FileClaims[] }

/** The bytes of a header that are read at first, and at most; and of a file of settings. */
const first = 1 << 20
const most = 32 << 20
const settingsLimit = 16 << 20
/** Files whose headers are read. */
const filesRead = 1000

/** What these files claim. A file that changes meanwhile claims what it then says. Throws CannotHash. */
export async function claimsOf(files: readonly HashedFile[]): Promise<ModelClaims> {
  const found: FileClaims[] = []
  for (const file of files.filter(({ name }) => readerFor(name) !== "none").slice(0, filesRead))
    found.push({ name: file.name, claims: await fileClaims(file) })
  return { form: formOf(files), files: [...found, ...(await ollamaClaims(files))] }
}

/** By names alone. */
export function formOf(files: readonly Pick<HashedFile, "name" | "path">[]): Form {
  const has = (pattern: RegExp): boolean => files.some(({ name }) => pattern.test(name))
  if (has(/^manifests\//) && has(/^blobs\/sha256-/)) return "ollama"
  if (files.some(({ path }) => /--[^/]+\/(?:snapshots|blobs)\//.test(path))) return "huggingface snapshot"
  if (has(/(?:^|\/)config\.pbtxt$/)) return "triton repository"
  if (has(/^config\.json$/) && has(/\.(?:safetensors|bin)$/)) return "transformers folder"
  return has(/\.gguf$/) ? "gguf" : "files"
}

type Reader = "gguf" | "safetensors" | "tokenizer" | "template" | "none"

function readerFor(name: Binary): Reader {
  if (/\.gguf$/i.test(name)) return "gguf"
  if (/\.safetensors$/i.test(name)) return "safetensors"
  if (/(?:^|\/)(?:tokenizer_config|chat_template)\.json$/.test(name)) return "tokenizer"
  return /(?:^|\/)chat_template\.jinja$/.test(name) ? "template" : "none"
}

async function fileClaims({ name, path, size, sha256 }: HashedFile): Promise<readonly Claim[]> {
  const reader = readerFor(name)
  if (reader === "template") return [["chat template", `sha256:${sha256}`]]
  return legible(async () => {
    if (reader === "tokenizer") return templatesIn(await beginning(path, settingsLimit), size)
    return headerClaims(reader === "gguf" ? ggufClaims : safetensorsClaims, path, size)
  })
}

/** What cannot be read is a claim of that. */
async function legible(read: () => Promise<readonly Claim[]>): Promise<readonly Claim[]> {
  try {
    return await read()
  } catch (error) {
    if (!(error instanceof BadHeader) && codeOf(error) === undefined) throw error
    return [["unreadable", escaped(error instanceof Error ? error.message : "", 256)]]
  }
}

/** As much of the file as its header needs, in few steps. */
async function headerClaims(
  read: (bytes: Uint8Array, size: number) => readonly Claim[],
  path: Binary,
  size: number,
): Promise<readonly Claim[]> {
  for (let length = first; ; ) {
    try {
      return read(await beginning(path, length), size)
    } catch (error) {
      if (!(error instanceof ShortHeader)) throw error
      if (error.needed > most || length >= Math.min(size, most))
        throw new BadHeader("its header is too long to be shown")
      length = Math.min(Math.max(error.needed, length * 4), most)
    }
  }
}

async function beginning(path: Binary, length: number): Promise<Uint8Array> {
  const file = await open(fromBinary(path), "r")
  try {
    const { size } = await file.stat()
    const bytes = Buffer.alloc(Math.min(length, size))
    const { bytesRead } = await file.read(bytes, 0, bytes.length, 0)
    return bytes.subarray(0, bytesRead)
  } finally {
    await file.close()
  }
}

/** What people look for in the metadata of a GGUF file. */
const ggufKeys = [
  ..."architecture name basename finetune size_label version author organization license".split(" "),
  ..."quantized_by source.url base_model.0.name base_model.0.repo_url file_type uuid".split(" "),
].map(key => `general.${key}`)

function ggufClaims(bytes: Uint8Array, size: number): readonly Claim[] {
  const { version, tensors, values, templates } = readGguf(bytes, size)
  const shown = ggufKeys.flatMap((key): Claim[] => {
    const value = values.get(key)
    return value === undefined ? [] : [[key, escaped(value, 256)]]
  })
  const hashes = [...templates].slice(0, 16).map(([key, digest]): Claim => [escaped(key, 256), `sha256:${digest}`])
  return [["format", `gguf ${version}, ${tensors} tensors`], ...shown, ...hashes]
}

function safetensorsClaims(bytes: Uint8Array, size: number): readonly Claim[] {
  const { tensors, metadata, types } = readSafetensors(bytes, size)
  const each = [...types].map(([type, count]) => `${count} ${escaped(type, 128)}`).slice(0, 8)
  const shown = [...metadata]
    .slice(0, 16)
    .map(([key, value]): Claim => [`metadata.${escaped(key, 128)}`, escaped(value, 256)])
  return [["format", `safetensors, ${tensors} tensors${each.length === 0 ? "" : `: ${each.join(", ")}`}`], ...shown]
}

const named = z.object({ name: z.string(), template: z.string() })
const settings = z.object({ chat_template: z.union([z.string(), z.array(named).max(64)]).optional() })

/** The chat templates in tokenizer_config.json: one, or some with names. */
function templatesIn(bytes: Uint8Array, size: number): readonly Claim[] {
  if (size > bytes.length) throw new BadHeader("it is too long for settings")
  const read = settings.safeParse(parsed(bytes))
  if (!read.success) throw new BadHeader("it is not as transformers writes it")
  const { chat_template: templates = [] } = read.data
  const list = typeof templates === "string" ? [{ name: "", template: templates }] : templates
  return list.map(({ name, template }) => {
    const digest = createHash("sha256").update(template).digest("hex")
    return [`chat template${name === "" ? "" : ` ${escaped(name, 128)}`}`, `sha256:${digest}`]
  })
}

function parsed(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString("utf8"))
  } catch {
    throw new BadHeader("it is no JSON")
  }
}

/** Ollama keeps the template and the system prompt as layers of their own, and the weights as a GGUF blob. */
async function ollamaClaims(files: readonly HashedFile[]): Promise<FileClaims[]> {
  const manifest = formOf(files) === "ollama" ? files.find(({ name }) => name.startsWith("manifests/")) : undefined
  const place = manifest ? await ollamaPlace(manifest.path) : "no store"
  if (place === "no store") return []
  const found: FileClaims[] = []
  for (const { mediaType, digest } of (await readManifest(place)).layers) {
    const file = files.find(({ name }) => name === `blobs/${digest.replace(":", "-")}`)
    const [, kind] = /^application\/vnd\.ollama\.image\.([a-z]{1,32})$/.exec(mediaType) ?? []
    if (!file || kind === undefined) continue
    const { name, path, size, sha256 } = file
    const hash: readonly Claim[] = [[kind, `sha256:${sha256}`]]
    found.push({ name, claims: kind === "model" ? await legible(() => headerClaims(ggufClaims, path, size)) : hash })
  }
  return found
}
