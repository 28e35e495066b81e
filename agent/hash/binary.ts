/**
 * How is a path of any bytes kept? As a string of characters below 256, one for each byte: it crosses threads cheaply, sorts
 * byte by byte, and takes a third of the memory of an array of bytes. People see it through `shown`.
 */
import { escaped } from "../escape.ts"

declare const binary: unique symbol
/** Bytes as characters; made by {@link asBinary} alone. */
export type Binary = string & { readonly [binary]?: true }

export const asBinary = (bytes: Uint8Array | string): Binary => Buffer.from(bytes).toString("latin1")
export const fromBinary = (text: Binary): Buffer => Buffer.from(text, "latin1")

/** As it stands in messages. */
export const shown = (text: Binary): string => escaped(fromBinary(text), 512)
