/** How do firmware and kernel, other than a TPM, write numbers? Least significant byte first. */
import type { Codec } from "../wire/codec.ts"

export const le16 = littleEndian(2)
export const le32 = littleEndian(4)

/** 64 bits; addresses and lengths of firmware, so that none is rounded. */
export const le64: Codec<bigint> = {
  read: from => Buffer.from(from.take(8)).readBigUInt64LE(),
  write: (to, value) => {
    const bytes = Buffer.alloc(8)
    bytes.writeBigUInt64LE(value)
    to.put(bytes)
  },
}

function littleEndian(size: 2 | 4): Codec<number> {
  return {
    read: from => from.littleEndian(size),
    write: (to, value) => {
      const bytes = Buffer.alloc(size)
      bytes.writeUIntLE(value, 0, size)
      to.put(bytes)
    },
  }
}
