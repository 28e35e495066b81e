/** Is each store's model what its own layout says, is every odd file refused in so many words, and what do models claim? */
import { execFileSync, spawnSync } from "node:child_process"
import { createHash, randomBytes } from "node:crypto"
import { chmodSync, mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { claimsOf, formOf } from "../agent/hash/claims.ts"
import { digestIn } from "../agent/hash/kernel.ts"
import { type HashedModel, hashModelWith } from "../agent/hash/model.ts"
import { candidatesFor } from "../agent/hash/ollama.ts"
import { hintFor, mountOf, protect } from "../agent/hash/protect.ts"
import { CannotHash, treeLimits } from "../agent/hash/tree.ts"
import { hasherWith, options, put, scratch, sha256sum } from "./weights-folder.ts"

const { root, fresh } = scratch("models")
const hasher = hasherWith({ workers: 1 })
const hash = (path: string): Promise<HashedModel> => hashModelWith(hasher, "full", path, options())
const sha256 = (bytes: string | Uint8Array): string => createHash("sha256").update(bytes).digest("hex")
const text = (model: HashedModel): string => Buffer.from(model.manifest).toString("latin1")

async function refusal(path: string): Promise<CannotHash> {
  const outcome: unknown = await hash(path).catch((error: unknown) => error)
  if (outcome instanceof CannotHash) return outcome
  throw new Error(`not refused: ${path}`)
}

/** The smallest safetensors file: one tensor of four bytes. */
const safetensors = (() => {
  const header = Buffer.from(
    JSON.stringify({ __metadata__: { format: "pt" }, w: { dtype: "I8", shape: [4], data_offsets: [0, 4] } }),
  )
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(header.length))
  return Buffer.concat([length, header, Buffer.from([1, 2, 3, 4])])
})()

/** The smallest GGUF file with a chat template: no tensor, one key. */
const gguf = (() => {
  const bytes = (value: string): Buffer => {
    const length = Buffer.alloc(8)
    length.writeBigUInt64LE(BigInt(value.length))
    return Buffer.concat([length, Buffer.from(value)])
  }
  const head = Buffer.alloc(24)
  head.write("GGUF")
  head.writeUInt32LE(3, 4)
  head.writeBigUInt64LE(1n, 16)
  const key = Buffer.concat([bytes("tokenizer.chat_template"), Buffer.from([8, 0, 0, 0]), bytes("{{ x }}")])
  return Buffer.concat([head, key, Buffer.alloc(32)])
})()

/** A cache as huggingface_hub lays it out: large files by SHA-256, small ones by Git's name, two revisions. */
function huggingFace(folder: string): { repository: string; snapshot: string; blob: string } {
  const repository = join(folder, "hub/models--acme--tiny")
  const blob = sha256(safetensors)
  const config = '{"model_type":"llama"}'
  const git = createHash("sha1").update(`blob ${config.length}\0${config}`).digest("hex")
  put(repository, `blobs/${blob}`, safetensors)
  put(repository, `blobs/${git}`, config)
  put(repository, "refs/main", "0123")
  for (const revision of ["0123", "4567"]) {
    mkdirSync(join(repository, "snapshots", revision, "sub"), { recursive: true })
    symlinkSync(`../../blobs/${blob}`, join(repository, "snapshots", revision, "model.safetensors"))
    symlinkSync(`../../../blobs/${git}`, join(repository, "snapshots", revision, "sub/config.json"))
  }
  return { repository, snapshot: join(repository, "snapshots/0123"), blob }
}

/** A store as Ollama lays it out. */
function ollama(folder: string): { store: string; manifest: string; weights: string } {
  const store = join(folder, "models")
  const layer = (kind: string, bytes: string | Buffer) => {
    put(store, `blobs/sha256-${sha256(bytes)}`, bytes)
    return { mediaType: `application/vnd.ollama.image.${kind}`, digest: `sha256:${sha256(bytes)}`, size: bytes.length }
  }
  const layers = [layer("model", gguf), layer("template", "{{ .Prompt }}"), layer("license", "free")]
  const config = { ...layer("config", "{}"), mediaType: "application/vnd.docker.container.image.v1+json" }
  const manifest = "manifests/registry.ollama.ai/library/tiny/latest"
  const mediaType = "application/vnd.docker.distribution.manifest.v2+json"
  put(store, manifest, JSON.stringify({ schemaVersion: 2, mediaType, config, layers }))
  put(store, `blobs/sha256-${sha256("of another model")}`, "of another model")
  return { store, manifest, weights: sha256(gguf) }
}

describe("a snapshot in a Hugging Face cache", () => {
  it("is its links' files, as sha256sum has them", async () => {
    const { snapshot, blob } = huggingFace(fresh())
    const model = await hash(snapshot)
    expect(text(model)).toBe(sha256sum(snapshot))
    expect(model.files.map(({ name, link }) => [name, link])).toEqual([
      ["model.safetensors", `../../blobs/${blob}`],
      ["sub/config.json", expect.stringMatching(/^\.\.\/\.\.\/\.\.\/blobs\/[0-9a-f]{40}$/)],
    ])
    expect(model.broken).toEqual([])
  })

  it("tells a blob that is not what its name promises, with the digest that it has", async () => {
    const { repository, snapshot, blob } = huggingFace(fresh())
    writeFileSync(join(repository, "blobs", blob), "other weights")
    const model = await hash(snapshot)
    expect(model.broken.map(({ name, promised, sha256: found }) => [name, promised, found])).toEqual([
      ["model.safetensors", blob, sha256("other weights")],
    ])
  })

  it("may not borrow from another repository", async () => {
    const folder = fresh()
    const { snapshot } = huggingFace(folder)
    put(folder, "hub/models--other--tiny/blobs/x", "x")
    symlinkSync("../../../models--other--tiny/blobs/x", join(snapshot, "borrowed"))
    expect((await refusal(snapshot)).message).toMatch(/borrowed leads out of the model, to .*models--other--tiny/)
  })
})

describe("a model that Ollama keeps", () => {
  it("is its manifest and the blobs that it names, by their places in the store", async () => {
    const { store, manifest } = ollama(fresh())
    const model = await hash(join(store, manifest))
    const names = model.files.map(({ name }) => name)
    expect(names).toHaveLength(5)
    expect(names.at(-1)).toBe(manifest)
    expect(text(model)).toBe(sha256sum(store, ...names))
    expect(model.broken).toEqual([])
  })

  it("may be named by its store, name and tag", async () => {
    const { store, manifest } = ollama(fresh())
    const direct = await hash(join(store, manifest))
    for (const name of ["tiny", "tiny:latest", "library/tiny:latest", "registry.ollama.ai/library/tiny"])
      expect((await hash(`ollama:${store}/${name}`)).digest).toBe(direct.digest)
    expect(await refusal(`ollama:${store}/tiny:8b`)).toMatchObject({ obstacle: "absent" })
    expect(candidatesFor("/ollama:x")).toEqual(["/ollama:x"])
  })

  it("tells a blob that is not what its name promises: Ollama does not look again", async () => {
    const { store, manifest, weights } = ollama(fresh())
    const altered = Buffer.from(gguf)
    altered[altered.length - 1] = 1
    writeFileSync(join(store, `blobs/sha256-${weights}`), altered)
    const model = await hash(join(store, manifest))
    expect(model.broken.map(({ promised, sha256: found }) => [promised, found])).toEqual([[weights, sha256(altered)]])
  })

  it("may keep a blob elsewhere, and is refused without one or with a manifest that is none", async () => {
    const folder = fresh()
    const { store, manifest, weights } = ollama(folder)
    const blob = join(store, `blobs/sha256-${weights}`)
    renameSync(blob, join(folder, "elsewhere"))
    expect((await refusal(join(store, manifest))).message).toContain("the model lacks")
    symlinkSync(join(folder, "elsewhere"), blob)
    expect((await hash(join(store, manifest))).broken).toEqual([])
    for (const bad of [
      "",
      "{",
      "[]",
      '{"schemaVersion":2,"layers":[]}',
      '{"schemaVersion":2,"config":{"digest":"sha256:../x"}}',
    ]) {
      writeFileSync(join(store, manifest), bad)
      expect((await refusal(join(store, manifest))).message).toContain("is no manifest of a model")
    }
  })
})

describe("odd files", () => {
  it("a link to nothing, out of the folder, to a folder, to a device", async () => {
    put(root, "outside", "x")
    for (const [target, said] of [
      ["nowhere", "is a link to nothing"],
      ["../../outside", "leads out of the model"],
      ["/etc/hostname", "leads out of the model"],
      [".", "is a link to a folder"],
      ["/dev/null", "is neither a file nor a folder"],
      ["odd", "cannot be read (ELOOP)"],
    ] as const) {
      const folder = fresh()
      put(folder, "m/w", "weights")
      symlinkSync(target, join(folder, "m/odd"))
      expect((await refusal(join(folder, "m"))).message).toContain(said)
    }
  })

  it("a FIFO and a device, in the folder or by name, without waiting for them", async () => {
    const folder = fresh()
    spawnSync("mkfifo", [join(folder, "pipe")])
    expect((await refusal(folder)).message).toContain("pipe is neither a file nor a folder")
    expect((await refusal(join(folder, "pipe"))).message).toContain("pipe is neither a file nor a folder")
    expect((await refusal("/dev/zero")).message).toContain("/dev/zero is neither a file nor a folder")
  })

  it("an empty folder, one with none but empty folders, and one that is too deep", async () => {
    const folder = fresh()
    expect((await refusal(folder)).hint).toBe("name the folder with the weights")
    mkdirSync(join(folder, "a/b"), { recursive: true })
    expect((await refusal(folder)).message).toContain("holds no file")
    mkdirSync(join(folder, ...Array.from({ length: treeLimits.depth + 1 }, () => "d")), { recursive: true })
    expect((await refusal(folder)).message).toContain(`lies more than ${treeLimits.depth} folders deep`)
  })

  it.skipIf(process.geteuid?.() === 0)("a file and a folder that may not be read", async () => {
    const folder = fresh()
    chmodSync(put(folder, "w", "weights"), 0)
    expect(await refusal(folder)).toMatchObject({ obstacle: "unreadable", hint: "let the agent's user read it" })
    rmSync(join(folder, "w"))
    put(folder, "closed/w", "weights")
    chmodSync(join(folder, "closed"), 0)
    expect((await refusal(folder)).message).toContain("closed cannot be read (EACCES)")
    chmodSync(join(folder, "closed"), 0o700)
  })

  it.runIf(process.geteuid?.() === 0)("a file that may not be read, by root without the capability to", () => {
    const folder = fresh()
    chmodSync(put(folder, "m/w", "weights"), 0)
    const program = put(
      folder,
      "program.mjs",
      `import { hashModel } from "${import.meta.dirname}/../agent/hash/model.ts"
       const options = { engine: "auto", links: "own", signal: new AbortController().signal, progress: () => undefined }
       const said = await hashModel("${folder}/m", options).then(() => "read", error => error.message + "; " + error.hint)
       process.stdout.write(said)`,
    )
    // another user could not come to a checkout in a folder that is its owner's alone
    const without = "-dac_override,-dac_read_search"
    const bounds = [`--bounding-set=${without}`, `--inh-caps=${without}`]
    const said = execFileSync("setpriv", [...bounds, process.execPath, program]).toString()
    expect(said).toBe(`${folder}/m/w cannot be read (EACCES); let the agent's user read it`)
  })

  it("names of any bytes (but one that is a dash alone, which coreutils take for their input)", async () => {
    const folder = fresh()
    const names = Array.from({ length: 255 }, (_, i) => i + 1).filter(
      byte => byte !== 0x2f && byte !== 0x2e && byte !== 0x2d,
    )
    for (const byte of names) writeFileSync(Buffer.concat([Buffer.from(`${folder}/`), Buffer.from([byte])]), `${byte}`)
    const model = await hash(folder)
    expect(model.files).toHaveLength(names.length)
    expect(text(model)).toBe(sha256sum(folder))
  })
})

describe("what models claim", () => {
  it("by their layout", () => {
    const form = (...names: string[]): string => formOf(names.map(name => ({ name, path: `/m/${name}` })))
    expect(form("config.json", "model-00001-of-00002.safetensors")).toBe("transformers folder")
    expect(form("resnet/config.pbtxt", "resnet/1/model.onnx")).toBe("triton repository")
    expect(form("w.gguf")).toBe("gguf")
    expect(form("w.bin")).toBe("files")
  })

  it("in headers, settings and templates: never measured, and no obstacle when they cannot be read", async () => {
    const folder = fresh()
    put(folder, "config.json", "{}")
    put(folder, "m.safetensors", safetensors)
    put(folder, "bad.safetensors", "\xff")
    put(folder, "long.gguf", "GGUF\x03\0\0\0" + "\0".repeat(8) + "\x01" + "\0".repeat(7) + "\xff".repeat(8))
    put(folder, "m.gguf", gguf)
    put(folder, "chat_template.jinja", "{{ y }}")
    const templates = [
      { name: "default", template: "a" },
      { name: "tool_use", template: "b" },
    ]
    put(folder, "tokenizer_config.json", JSON.stringify({ chat_template: templates }))
    const { form, files } = await claimsOf((await hash(folder)).files)
    expect(form).toBe("transformers folder")
    expect(Object.fromEntries(files.map(({ name, claims }) => [name, Object.fromEntries(claims)]))).toEqual({
      "bad.safetensors": { unreadable: "it is shorter than 8 bytes" },
      "chat_template.jinja": { "chat template": `sha256:${sha256("{{ y }}")}` },
      "long.gguf": { unreadable: expect.any(String) },
      "m.gguf": { format: "gguf 3, 0 tensors", "tokenizer.chat_template": `sha256:${sha256("{{ x }}")}` },
      "m.safetensors": { format: "safetensors, 1 tensors: 1 I8", "metadata.format": "pt" },
      "tokenizer_config.json": {
        "chat template default": `sha256:${sha256("a")}`,
        "chat template tool_use": `sha256:${sha256("b")}`,
      },
    })
  })

  it("in Ollama's layers", async () => {
    const { store, manifest } = ollama(fresh())
    const { form, files } = await claimsOf((await hash(join(store, manifest))).files)
    expect(form).toBe("ollama")
    const claims = files.flatMap(each => each.claims.map(([key]) => key))
    expect(claims).toEqual(["format", "tokenizer.chat_template", "template", "license"])
  })

  it("in a header of several MiB, read in steps", async () => {
    const folder = fresh()
    const length = Buffer.alloc(8)
    const tensors = Array.from({ length: 30_000 }, (_, i) => [
      `layer.${i}`,
      { dtype: "I8", shape: [1], data_offsets: [i, i + 1] },
    ])
    const header = Buffer.from(JSON.stringify(Object.fromEntries(tensors)))
    length.writeBigUInt64LE(BigInt(header.length))
    put(folder, "m.safetensors", Buffer.concat([length, header, randomBytes(30_000)]))
    expect(header.length).toBeGreaterThan(1 << 20)
    const { files } = await claimsOf((await hash(folder)).files)
    expect(files[0]?.claims).toEqual([["format", "safetensors, 30000 tensors: 30000 I8"]])
  })
})

describe("protection by the kernel", () => {
  const ext4 = { type: "ext4", source: "/dev/sda2" }

  it("where it cannot be, says what would allow it", () => {
    const unsupported = "Operation not supported"
    expect(hintFor(unsupported, ext4, () => true)).toContain("tune2fs -O verity /dev/sda2")
    expect(hintFor(unsupported, ext4, () => false)).toContain("CONFIG_FS_VERITY")
    expect(hintFor(unsupported, { type: "f2fs", source: "x" }, () => true)).toContain("mkfs.f2fs -O verity")
    expect(hintFor(unsupported, { type: "xfs", source: "x" }, () => true)).toContain("xfs has no fs-verity")
    expect(hintFor("Text file busy", ext4, () => true)).toContain("open for writing")
    expect(hintFor("Operation not permitted", ext4, () => true)).toContain("owner or root")
  })

  it("finds the file system of a path, whatever its mount points are called", () => {
    const mountinfo = [
      "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw",
      "23 22 8:2 / /srv rw,relatime shared:2 master:1 - btrfs /dev/sda2 rw",
      "24 23 8:3 / /srv/my\\040models rw - f2fs /dev/sda3 rw",
      "25 23 8:4 / /srv/my\\040models rw - xfs /dev/sda4 rw",
    ].join("\n")
    expect(mountOf("/srv/my models/w", mountinfo)).toEqual({ type: "xfs", source: "/dev/sda4" })
    expect(mountOf("/srv/mymodels", mountinfo)).toEqual({ type: "btrfs", source: "/dev/sda2" })
    expect(mountOf("/srvx", mountinfo)).toEqual({ type: "ext4", source: "/dev/sda1" })
  })

  it("on this machine: done and measured alike, or refused with what would help", async () => {
    const folder = fresh()
    put(folder, "w", randomBytes(2 << 20))
    const model = await hash(folder)
    const outcome: unknown = await protect(model.files).catch((error: unknown) => error)
    if (Array.isArray(outcome)) {
      expect(outcome).toEqual([{ name: "w", state: "now" }])
      expect(() => writeFileSync(join(folder, "w"), "x")).toThrow("EPERM")
      expect((await hash(folder)).how).toMatchObject({ read: 1 })
    } else
      expect(outcome).toMatchObject({
        message: expect.stringContaining("Operation not supported"),
        hint: expect.stringMatching(/verity|VERITY/),
      })
  })

  it("reads what fsverity prints", () => {
    expect(digestIn(`sha256:${"ab".repeat(32)} /srv/w\n`)).toBe("ab".repeat(32))
    expect(digestIn(`sha512:${"ab".repeat(64)} /srv/w\n`)).toBe("none")
    expect(digestIn("")).toBe("none")
  })
})
