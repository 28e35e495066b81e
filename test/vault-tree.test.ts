/** Is our Merkle tree that of RFC 6962? Foreign proofs, a foreign log, openssl and sha256sum judge. */
import { generateKeyPairSync, sign } from "node:crypto"
import { readdirSync } from "node:fs"
import { join } from "node:path"
import { assert, constantFrom, nat, property } from "fast-check"
import { describe, expect, test } from "vitest"
import { readVerifierKey, signNote, writeNote } from "../attestation/pins/note.ts"
import {
  checkpointText,
  cosign,
  cosignersOf,
  readCheckpoint,
  readCheckpointText,
  readWitnessKey,
  withLines,
  writeCheckpoint,
  writeWitnessKey,
} from "../attestation/vault/checkpoint.ts"
import { leafOf, readLeaf, writeLeaf } from "../attestation/vault/leaf.ts"
import {
  consistent,
  includes,
  proveConsistency,
  proveInclusion,
  subtreeConsistent,
  subtreeIncludes,
} from "../attestation/vault/proof.ts"
import {
  bundlePath,
  readBundle,
  subtreesIn,
  type Tile,
  tilePath,
  tilesSince,
  tileWidth,
  writeBundle,
} from "../attestation/vault/tile.ts"
import {
  append,
  emptyEdge,
  emptyRoot,
  leafHash,
  readEdge,
  rootOf,
  rootOver,
  writeEdge,
} from "../attestation/vault/tree.ts"
import { Malformed } from "../attestation/wire/codec.ts"
import { fromBase64, toHex } from "../attestation/wire/text.ts"
import { output, sha256 } from "./foreign.ts"
import { vector, vectors } from "./vectors.ts"

const text = (of: string): Uint8Array => new Uint8Array(Buffer.from(of, "utf8"))

describe("proofs that others made", () => {
  type Case = Record<string, unknown>
  const casesIn = (folder: string): [string, Case][] =>
    readdirSync(join(vectors, "rfc6962-merkle", folder), { recursive: true, encoding: "utf8" })
      .filter(name => name.endsWith(".json"))
      .map(name => [name, JSON.parse(vector("rfc6962-merkle", folder, name).toString())])
  const bytes = (value: unknown): Uint8Array => fromBase64(typeof value === "string" ? value : "")
  const proofOf = ({ proof }: Case): Uint8Array[] => (Array.isArray(proof) ? proof.map(bytes) : [])
  const span = ({ start, end }: Case) => ({ start: Number(start), end: Number(end) })
  const inclusion = (each: Case) => ({
    ...{ index: Number(each["leafIdx"]), leaf: bytes(each["leafHash"]), proof: proofOf(each) },
  })
  const head = (size: unknown, root: unknown) => ({ size: Number(size), root: bytes(root) })
  const judges: Readonly<Record<string, (each: Case) => boolean>> = {
    inclusion: each => includes(Number(each["treeSize"]), bytes(each["root"]), inclusion(each)),
    consistency: each =>
      consistent(head(each["size1"], each["root1"]), head(each["size2"], each["root2"]), proofOf(each)),
    subtreeinclusion: each => subtreeIncludes(span(each), bytes(each["root"]), inclusion(each)),
    subtreeconsistency: each =>
      subtreeConsistent(span(each), bytes(each["root1"]), head(each["size"], each["root2"]), proofOf(each)),
  }
  test.each(Object.entries(judges))("%s", (folder, judge) => {
    const cases = casesIn(folder)
    expect(cases.length).toBeGreaterThan(80)
    for (const [name, each] of cases) expect(judge(each), name).toBe(each["wantErr"] !== true)
  })
})

describe("a log that others wrote", () => {
  const key = readVerifierKey("example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx")
  const file = (path: string): Uint8Array => new Uint8Array(vector("tessera-log", "log", path))
  const at = (size: number) => readCheckpoint(file(`checkpoint.${size}`), key).checkpoint
  const read = (tile: Tile): Uint8Array => file(tilePath(tile))

  test("its 16 checkpoints are signed, and their roots are those of its entries and of its tiles", () => {
    for (let size = 0; size < 16; size++) {
      const { size: said, root } = at(size)
      expect(said).toBe(size)
      if (size === 0) {
        expect(root).toEqual(emptyRoot)
        continue
      }
      const entries = readBundle(file(bundlePath({ index: 0, width: size })))
      expect(writeBundle(entries)).toEqual(file(bundlePath({ index: 0, width: size })))
      expect(rootOver(entries.map(leafHash))).toEqual(root)
      expect(toHex(Buffer.concat(entries.map(leafHash)))).toBe(toHex(read({ level: 0, index: 0, width: size })))
    }
    expect(file("checkpoint")).toEqual(file("checkpoint.15"))
  })

  test("from its tiles we prove each leaf and each earlier checkpoint", () => {
    const subtrees = subtreesIn(15, read)
    const { root } = at(15)
    const entries = readBundle(file("tile/entries/000.p/15"))
    for (const [index, entry] of entries.entries()) {
      const proof = proveInclusion(index, 15, subtrees)
      expect(includes(15, root, { index, leaf: leafHash(entry), proof })).toBe(true)
    }
    for (let size = 1; size < 16; size++)
      expect(consistent(at(size), at(15), proveConsistency(size, 15, subtrees)), String(size)).toBe(true)
  })

  test("a checkpoint with one byte changed is none of this log's", () => {
    const whole = file("checkpoint.15")
    for (let i = 0; i < whole.length; i++)
      expect(() => readCheckpoint(whole.with(i, (whole[i] ?? 0) ^ 1), key), String(i)).toThrow(Malformed)
  })
})

/** A tree of `size` leaves with its tiles, each as it is at `size`. */
function treeOf(size: number) {
  const levels: Uint8Array[][] = []
  let edge = emptyEdge
  for (let i = 0; i < size; i++) {
    const appended = append(edge, leafHash(text(`leaf ${i}`)))
    edge = appended.edge
    for (const { level, hash } of appended.completed) if (level % 8 === 0) (levels[level / 8] ??= []).push(hash)
  }
  const read = ({ level, index, width }: Tile): Uint8Array =>
    new Uint8Array(Buffer.concat((levels[level] ?? []).slice(index * tileWidth, index * tileWidth + width)))
  return { edge, root: rootOf(edge), read, leaf: (i: number) => levels[0]?.[i] ?? new Uint8Array(0) }
}

describe("proofs that we make", () => {
  const big = 66_000
  const sizes = [1, 2, 3, 7, 8, 255, 256, 257, 511, 65_535, 65_536, 65_537, big]
  const trees = new Map(sizes.map(size => [size, treeOf(size)]))
  const tree = (size: number) => trees.get(size) ?? treeOf(size)

  test("each leaf is shown to be in its place, and in no other", () => {
    assert(
      property(constantFrom(...sizes), nat(), nat(), (size, n, other) => {
        const { root, read, leaf } = tree(size)
        const index = n % size
        const proof = proveInclusion(index, size, subtreesIn(size, read))
        const given = { index, leaf: leaf(index), proof }
        expect(includes(size, root, given)).toBe(true)
        const wrong = other % size
        if (wrong !== index) expect(includes(size, root, { ...given, index: wrong })).toBe(false)
        if (wrong !== index) expect(includes(size, root, { ...given, leaf: leaf(wrong) })).toBe(false)
        expect(includes(size, root, { ...given, proof: [...proof, root] })).toBe(false)
        expect(includes(size, root, { ...given, proof: proof.slice(1) })).toBe(size === 1)
      }),
      { numRuns: 200 },
    )
  })

  test("a later tree is shown to hold the earlier, and no other", () => {
    for (const [i, older] of sizes.entries())
      for (const newer of sizes.slice(i)) {
        const [a, b] = [tree(older), tree(newer)]
        const proof = proveConsistency(older, newer, subtreesIn(newer, b.read))
        const heads = [
          { size: older, root: a.root },
          { size: newer, root: b.root },
        ] as const
        expect(consistent(...heads, proof), `${older} ${newer}`).toBe(true)
        const forged = { size: older, root: a.root.with(0, (a.root[0] ?? 0) ^ 1) }
        expect(consistent(forged, heads[1], proof)).toBe(false)
        if (older < newer) expect(consistent({ ...heads[0], size: older + 1 }, heads[1], proof)).toBe(false)
      }
  })

  test("an edge is as many hashes as its size has ones, and goes on where it was", () => {
    const { edge, root } = tree(257)
    expect(edge.roots).toHaveLength(2)
    expect(rootOf(readEdge(257, writeEdge(edge)))).toEqual(root)
    expect(() => readEdge(256, writeEdge(edge))).toThrow(Malformed)
  })

  test("the root is what sha256sum makes of four leaves", () => {
    const leaves = [0, 1, 2, 3].map(i => Buffer.concat([Buffer.of(0), text(`leaf ${i}`)])).map(sha256)
    const pair = (a = "", b = ""): string => sha256(Buffer.from(`01${a}${b}`, "hex"))
    expect(toHex(treeOf(4).root)).toBe(pair(pair(leaves[0], leaves[1]), pair(leaves[2], leaves[3])))
  })
})

describe("tiles", () => {
  test("their paths are those of the specification's examples", () => {
    expect(tilePath({ level: 0, index: 1_234_067, width: 256 })).toBe("tile/0/x001/x234/067")
    expect(tilePath({ level: 1, index: 0, width: 8 })).toBe("tile/1/000.p/8")
    expect(bundlePath({ index: 1234, width: 1 })).toBe("tile/entries/x001/234.p/1")
  })

  test("what is new since a size is written, and nothing twice that was whole before", () => {
    const paths = (before: number, size: number): string[] => tilesSince(before, size).map(tilePath)
    expect(paths(0, 0)).toEqual([])
    expect(paths(0, 255)).toEqual(["tile/0/000.p/255"])
    expect(paths(255, 256)).toEqual(["tile/0/000", "tile/1/000.p/1"])
    expect(paths(256, 300)).toEqual(["tile/0/001.p/44"])
    expect(paths(256, 256)).toEqual([])
    expect(paths(0, 70_000).filter(path => path.startsWith("tile/1"))).toEqual(["tile/1/000", "tile/1/001.p/17"])
    expect(paths(65_535, 65_536)).toEqual(["tile/0/255", "tile/1/000", "tile/2/000.p/1"])
  })

  test("a bundle that is cut or too long is none", () => {
    expect(() => readBundle(Uint8Array.of(0, 3, 1))).toThrow(Malformed)
    expect(() => readBundle(new Uint8Array(2 * 257))).toThrow(Malformed)
    expect(() => writeBundle([new Uint8Array(65_536)])).toThrow(Malformed)
  })
})

describe("checkpoints", () => {
  const keyOf = (name: string) => {
    const { privateKey, publicKey } = generateKeyPairSync("ed25519")
    const raw = new Uint8Array(Buffer.from(publicKey.export({ format: "jwk" }).x ?? "", "base64url"))
    const by = (message: Uint8Array): Uint8Array => new Uint8Array(sign(null, message, privateKey))
    return { key: { name, publicKey: raw }, by, pem: publicKey.export({ format: "pem", type: "spki" }).toString() }
  }
  const log = keyOf("firm.example/vault")
  const witness = keyOf("witness.example/w1")
  const said = { origin: log.key.name, size: 3, root: leafHash(text("x")) }
  const signed = { text: checkpointText(said), signatures: [signNote(checkpointText(said), log.key, log.by)] }
  const cosigned = withLines(signed, [cosign(signed.text, witness.key, 1_800_000_000, witness.by)])

  test("a cosignature tells who saw it and when; a changed one spoils it; a stranger's says nothing", () => {
    const { note } = readCheckpoint(writeCheckpoint(cosigned), log.key)
    expect(cosignersOf(note, [witness.key])).toEqual([{ witness: witness.key, seconds: 1_800_000_000 }])
    expect(cosignersOf(note, [keyOf("witness.example/w1").key])).toEqual([])
    const [own, line] = note.signatures
    if (!own || !line) throw new Error("two lines were written")
    const later = { ...line, signature: line.signature.with(7, 1) }
    expect(() => cosignersOf({ ...note, signatures: [own, later] }, [witness.key])).toThrow(/does not fit/)
    expect(() =>
      cosignersOf({ ...note, signatures: [own, { ...line, signature: own.signature }] }, [witness.key]),
    ).toThrow(/not a time/)
  })

  test("openssl verifies log and witness from the lines as they stand", () => {
    const lines = Buffer.from(writeCheckpoint(cosigned)).toString().split("\n\n")[1]?.trim().split("\n") ?? []
    const [mine, theirs] = lines.map(each => Buffer.from(each.split(" ")[2] ?? "", "base64"))
    if (!mine || !theirs) throw new Error("two lines were written")
    const openssl = `cat > key; printf %s "$1" | base64 -d > sig; printf %s "$2" | base64 -d > text
      openssl pkeyutl -verify -pubin -inkey key -rawin -in text -sigfile sig`
    const judge = (pem: string, sig: Buffer, message: string): string =>
      output(
        "sh",
        [
          "-c",
          `cd "$(mktemp -d)" && ${openssl}`,
          "sh",
          sig.toString("base64"),
          Buffer.from(message).toString("base64"),
        ],
        pem,
      ).toString()
    expect(judge(log.pem, mine.subarray(4), signed.text)).toContain("Successfully")
    const time = theirs.readBigUInt64BE(4)
    const message = `cosignature/v1\ntime ${time}\n${signed.text}`
    expect(judge(witness.pem, theirs.subarray(12), message)).toContain("Successfully")
  })

  test("what is no checkpoint, is of another log, or is not signed by it, is refused with a sentence", () => {
    for (const bad of ["", "a\n", "a\n01\nx\n", "a\n1\nAAAA\n", `a\n-1\n${"A".repeat(43)}=\n`, "a\n1\n\n\n"])
      expect(() => readCheckpointText(bad), bad).toThrow(Malformed)
    const bytes = writeCheckpoint(cosigned)
    expect(() => readCheckpoint(bytes, { ...log.key, name: "other" })).toThrow(
      /of firm.example\/vault, and not of other/,
    )
    expect(() => readCheckpoint(bytes, { ...witness.key, name: log.key.name })).toThrow(/not signed by the key of/)
    expect(() => readCheckpoint(writeNote({ ...signed, signatures: cosigned.signatures.slice(1) }), log.key)).toThrow(
      /not signed by/,
    )
  })

  test("a witness's key is handed over in one line", () => {
    expect(readWitnessKey(writeWitnessKey(witness.key))).toEqual(witness.key)
    for (const bad of [writeWitnessKey(witness.key).replace("w1", "w2"), "", "a+b+c"])
      expect(() => readWitnessKey(bad)).toThrow(Malformed)
  })
})

test("a leaf names the bytes that it stands for as sha256sum does, in one spelling", () => {
  const leaf = leafOf("evidence", text("x"), 1_800_000_000_000)
  expect(leaf.sha256).toBe(sha256(text("x")))
  expect(readLeaf(writeLeaf(leaf))).toEqual(leaf)
  const written = Buffer.from(writeLeaf(leaf)).toString()
  for (const bad of [`${written} `, written.replace("evidence", "Evidence"), written.replace('"at"', '"when"')])
    expect(() => readLeaf(text(bad))).toThrow(Malformed)
})
