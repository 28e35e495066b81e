/**
 * How is a tree laid out in files that anybody can serve and nobody needs to change? As C2SP tlog-tiles (c2sp.org/tlog-tiles): tiles of
 * up to 256 hashes, eight levels high. What signs for them: `checkpoint.ts`.
 */
import { Malformed } from "../wire/codec.ts"
import type { ReadSubtree } from "./proof.ts"
import { hashSize, nodeHash } from "./tree.ts"

export const tileHeight = 8
/** The most hashes of a tile, and the most entries of a bundle. */
export const tileWidth = 256

/** A tile: its hashes are roots of subtrees of 2^(8 × `level`) leaves. `width` is 1 to 256; below that it is partial. */
export type Tile = { readonly level: number; readonly index: number; readonly width: number }

/** "tile/0/x001/234", with ".p/17" when it is partial. */
export const tilePath = ({ level, index, width }: Tile): string => `tile/${level}/${numbered(index)}${partial(width)}`

/** "tile/entries/x001/234": the entries under the tile of level 0 with the same number. */
export const bundlePath = ({ index, width }: Omit<Tile, "level">): string =>
  `tile/entries/${numbered(index)}${partial(width)}`

const partial = (width: number): string => (width === tileWidth ? "" : `.p/${width}`)

/** Groups of three digits, all but the last with an x before them. */
function numbered(index: number): string {
  const digits = String(index)
  const groups = digits.padStart(Math.ceil(digits.length / 3) * 3, "0").match(/.{3}/g) ?? []
  return groups.map((group, i) => (i < groups.length - 1 ? `x${group}` : group)).join("/")
}

/** The tiles of a tree of `size` leaves that hold what was not in one of `before` leaves; partial ones as they are at `size`. */
export function tilesSince(before: number, size: number): Tile[] {
  const tiles: Tile[] = []
  for (let level = 0; ; level += 1) {
    const from = Math.floor(before / tileWidth ** level)
    const to = Math.floor(size / tileWidth ** level)
    if (to === 0) return tiles
    for (let index = Math.floor(from / tileWidth); index * tileWidth < to; index += 1) {
      const width = Math.min(tileWidth, to - index * tileWidth)
      if (index * tileWidth + width > from) tiles.push({ level, index, width })
    }
  }
}

/** The hashes of a tile, one after another. Undefined where there is no such tile. */
export type ReadTile = (tile: Tile) => Uint8Array | undefined

/** Reads subtrees of a tree of `size` leaves from its tiles; each tile is read once. Throws {@link Malformed} where one is missing. */
export function subtreesIn(size: number, read: ReadTile): ReadSubtree {
  const known = new Map<string, Uint8Array>()
  const tileAt = (level: number, index: number): Uint8Array => {
    const width = Math.min(tileWidth, Math.floor(size / tileWidth ** level) - index * tileWidth)
    const key = `${level}/${index}`
    const found = known.get(key) ?? read({ level, index, width })
    if (found?.length !== width * hashSize)
      throw new Malformed(`${tilePath({ level, index, width })} is not there whole`)
    known.set(key, found)
    return found
  }
  return (level, index) => {
    const row = Math.floor(level / tileHeight)
    const height = level % tileHeight
    const first = index * 2 ** height
    const tile = tileAt(row, Math.floor(first / tileWidth))
    return fold(tile, first % tileWidth, height)
  }
}

/** The root over 2^`height` hashes of a tile, from its hash number `first`. */
function fold(tile: Uint8Array, first: number, height: number): Uint8Array {
  let row = Array.from({ length: 2 ** height }, (_, i) =>
    tile.subarray((first + i) * hashSize, (first + i + 1) * hashSize),
  )
  while (row.length > 1)
    row = Array.from({ length: row.length / 2 }, (_, i) => nodeHash(at(row, 2 * i), at(row, 2 * i + 1)))
  return at(row, 0)
}

function at(row: readonly Uint8Array[], i: number): Uint8Array {
  const found = row[i]
  if (found?.length !== hashSize) throw new Malformed("a tile is too short")
  return found
}

/** A bundle of entries: each with its length before it, as a big-endian u16. */
export function readBundle(bytes: Uint8Array): Uint8Array[] {
  const entries: Uint8Array[] = []
  for (let from = 0; from < bytes.length; ) {
    const to = from + 2 + (bytes[from] ?? 0) * 256 + (bytes[from + 1] ?? 0)
    if (to > bytes.length || entries.length === tileWidth) throw new Malformed("not a bundle of at most 256 entries")
    entries.push(bytes.subarray(from + 2, to))
    from = to
  }
  return entries
}

/** As {@link readBundle} reads it. */
export function writeBundle(entries: readonly Uint8Array[]): Uint8Array {
  if (entries.length > tileWidth || entries.some(each => each.length > 65_535))
    throw new Malformed("a bundle holds at most 256 entries of at most 65535 bytes")
  return new Uint8Array(
    Buffer.concat(entries.flatMap(each => [Uint8Array.of(each.length >> 8, each.length & 255), each])),
  )
}
