/**
 * Which weights does the main job measure? The user's own, or a model that is made here from a seed: valid safetensors in the
 * usual layout, whose digests are the same wherever it is made. The user's files are never written to.
 */
import { createCipheriv, createHash } from "node:crypto"
import { constants, existsSync } from "node:fs"
import { copyFile, mkdir, open, readdir, rename, rm, stat, statfs, symlink, writeFile } from "node:fs/promises"
import { basename, dirname, join, relative } from "node:path"

const mebibyte = 1 << 20
/** MiB in one tensor, and shards of a model. */
const tensorMebibytes = 1
const shards = 2

/** Makes a model of `mebibytes` in `folder`, unless it is there; says whether it was made. */
export async function makeModel(folder: string, mebibytes: number): Promise<"made" | "there"> {
  if (existsSync(folder)) return "there"
  const workshop = `${folder}.${process.pid}`
  await rm(workshop, { recursive: true, force: true })
  await mkdir(workshop, { recursive: true })
  const each = Math.max(1, Math.floor(mebibytes / shards))
  for (let shard = 1; shard <= shards; shard++) await writeShard(workshop, shard, each)
  await writeFile(join(workshop, "config.json"), `${JSON.stringify({ model_type: "demo", torch_dtype: "int8" })}\n`)
  await rename(workshop, folder)
  return "made"
}

const shardName = (shard: number): string => `model-0000${shard}-of-0000${shards}.safetensors`

/** u64 little-endian length of the header, the header in JSON, the tensors one after another. INT8: every byte is a value. */
async function writeShard(folder: string, shard: number, mebibytes: number): Promise<void> {
  const tensors = Array.from({ length: mebibytes / tensorMebibytes }, (_, i) => [
    `layers.${i}.shard${shard}.weight`,
    { dtype: "I8", shape: [1024, 1024], data_offsets: [i * mebibyte, (i + 1) * mebibyte] },
  ])
  const text = JSON.stringify(Object.fromEntries([["__metadata__", { format: "pt" }], ...tensors]))
  const header = Buffer.from(text.padEnd(Math.ceil(text.length / 8) * 8))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(header.length))
  const file = await open(join(folder, shardName(shard)), "w")
  try {
    await file.write(Buffer.concat([length, header]))
    const key = createHash("sha256").update(`assay demo model, shard ${shard}`).digest().subarray(0, 16)
    const stream = createCipheriv("aes-128-ctr", key, Buffer.alloc(16))
    const zeroes = Buffer.alloc(mebibyte)
    for (let i = 0; i < mebibytes; i++) await file.write(stream.update(zeroes))
  } finally {
    await file.close()
  }
}

/** A model to measure, and the file of it in which a byte may be flipped, where there is one. */
export type Stage = { readonly path: string; readonly victim: string | undefined; readonly how: string }

/** The largest plain copy that is made, and the room that it must leave. */
const largestCopy = 4096 * mebibyte
const weightFile = /\.(safetensors|gguf|bin|pt|pth|onnx)$/i

/**
 * Lays the model at `path` out in `folder`: its smallest weight file as a copy, so that a byte of that may be flipped, and
 * links to all the others. Where such a copy would not fit, links only.
 */
export async function stageModel(path: string, folder: string): Promise<Stage> {
  const files = await filesBelow(path)
  const isFolder = (await stat(path)).isDirectory()
  const [root, base] = isFolder ? [path, join(folder, basename(path))] : [dirname(path), folder]
  const weights = files.filter(file => weightFile.test(file.path))
  const [smallest] = (weights.length > 0 ? weights : files).toSorted((a, b) => a.size - b.size)
  if (!smallest || smallest.size === 0) throw new Error(`${path} holds no weights`)
  const target = join(folder, basename(path))
  for (const file of files) {
    const place = join(base, relative(root, file.path))
    await mkdir(dirname(place), { recursive: true })
    if (file !== smallest) await symlink(file.path, place)
  }
  const victim = join(base, relative(root, smallest.path))
  if (await copied(smallest, victim)) return { path: target, victim, how: "one copied, the rest linked" }
  await symlink(smallest.path, victim)
  return { path: target, victim: undefined, how: "linked: too large to copy a file of it" }
}

type Found = { readonly path: string; readonly size: number }

async function filesBelow(path: string): Promise<Found[]> {
  const status = await stat(path)
  if (!status.isDirectory()) return [{ path, size: status.size }]
  const entries = await readdir(path, { recursive: true, withFileTypes: true })
  const paths = entries.filter(entry => !entry.isDirectory()).map(entry => join(entry.parentPath, entry.name))
  return Promise.all(paths.map(async each => ({ path: each, size: (await stat(each)).size })))
}

/** Shares blocks where the file system can; else copies what is small enough. */
async function copied({ path, size }: Found, place: string): Promise<boolean> {
  const { bavail, bsize } = await statfs(dirname(place))
  if (await copyFile(path, place, constants.COPYFILE_FICLONE_FORCE).then(yes, no)) return true
  if (size > largestCopy || bavail * bsize < 2 * size) return false
  await copyFile(path, place)
  return true
}

const yes = (): boolean => true
const no = (): boolean => false

/** Flips the lowest bit of the byte in the middle of the file; once more, and it is as it was. */
export async function flipByte(path: string): Promise<number> {
  const file = await open(path, "r+")
  try {
    const at = Math.floor((await file.stat()).size / 2)
    const byte = Buffer.alloc(1)
    await file.read(byte, 0, 1, at)
    byte[0]! ^= 1
    await file.write(byte, 0, 1, at)
    await file.sync()
    return at
  } finally {
    await file.close()
  }
}
