/**
 * How is a signal heard on D-Bus? By the little of its wire that a listener needs (D-Bus Specification 0.43): EXTERNAL
 * authentication, Hello, AddMatch, and signals whose body is one boolean. What a signal means: `resume.ts`.
 */
import { createConnection } from "node:net"
import { Malformed } from "../../attestation/wire/codec.ts"

/** A signal with one boolean in it: who sends it, and which. */
export type Signal = {
  readonly sender: string
  readonly path: string
  readonly interface: string
  readonly member: string
}

/** Message types and header fields ("Message Protocol"). */
const METHOD_CALL = 1
const ERROR = 3
const SIGNAL = 4
const FIELD = { path: 1, interface: 2, member: 3, destination: 6, signature: 8 } as const

/** The most bytes of one message; the bus allows more, and nothing that is listened to needs it. */
const messageLimit = 1 << 18
const greetingLimit = 4096

/**
 * Listens on the bus whose socket is at `path`, and calls `heard` with each such signal's boolean, until `signal` is aborted (then it
 * resolves) or the bus ends it (then it throws). The bus sees to it that only the owner of `wanted.sender` is heard.
 */
export async function listen(path: string, wanted: Signal, heard: (value: boolean) => void, signal: AbortSignal) {
  const socket = createConnection(path)
  const stop = (): void => void socket.destroy()
  signal.addEventListener("abort", stop)
  if (signal.aborted) stop()
  socket.once("connect", () => socket.write(`\0AUTH EXTERNAL ${hexOf(String(process.getuid?.() ?? 0))}\r\n`))
  let state: "greeting" | "listening" = "greeting"
  let pending = Buffer.alloc(0)
  try {
    for await (const chunk of socket) {
      pending = Buffer.concat([pending, chunk])
      if (state === "greeting") {
        const rest = greeting(pending)
        if (!rest) continue
        ;[state, pending] = ["listening", rest]
        socket.write(Buffer.concat([Buffer.from("BEGIN\r\n"), call(1, "Hello"), call(2, "AddMatch", ruleOf(wanted))]))
      }
      pending = takeSignals(pending, wanted, heard)
    }
    throw new Error("the bus closed the connection")
  } catch (error) {
    if (!signal.aborted) throw error
  } finally {
    signal.removeEventListener("abort", stop)
    socket.destroy()
  }
}

const hexOf = (text: string): string => Buffer.from(text, "latin1").toString("hex")

/** What follows the line that lets us in, or undefined while it is not whole. */
function greeting(bytes: Buffer): Buffer<ArrayBuffer> | undefined {
  const end = bytes.indexOf("\r\n")
  if (end < 0 && bytes.length <= greetingLimit) return undefined
  const line = bytes.subarray(0, Math.max(0, end)).toString("latin1")
  if (!line.startsWith("OK ")) throw new Malformed(`the bus does not let us in: ${line.slice(0, 100)}`)
  return Buffer.from(bytes.subarray(end + 2))
}

const ruleOf = ({ sender, path, interface: from, member }: Signal): string =>
  `type='signal',sender='${sender}',path='${path}',interface='${from}',member='${member}'`

const padded = (length: number, to: number): number => Math.ceil(length / to) * to
const pad = (bytes: Buffer, to: number): Buffer =>
  Buffer.concat([bytes, Buffer.alloc(padded(bytes.length, to) - bytes.length)])

function text(value: string): Buffer {
  const length = Buffer.alloc(4)
  length.writeUInt32LE(Buffer.byteLength(value))
  return Buffer.concat([length, Buffer.from(`${value}\0`, "utf8")])
}

/** A header field: its code and a variant of an object path, a string or a signature. */
function field(code: number, type: "o" | "s" | "g", value: string): Buffer {
  const head = Buffer.from([code, 1, type.charCodeAt(0), 0])
  const body = type === "g" ? Buffer.from(`${String.fromCharCode(value.length)}${value}\0`, "latin1") : text(value)
  return Buffer.concat([head, body])
}

/** A call of a method of the bus's own, with one string or none. */
function call(serial: number, member: string, argument?: string): Buffer {
  const fields = [
    ...(argument === undefined ? [] : [field(FIELD.signature, "g", "s")]),
    field(FIELD.path, "o", "/org/freedesktop/DBus"),
    field(FIELD.interface, "s", "org.freedesktop.DBus"),
    field(FIELD.destination, "s", "org.freedesktop.DBus"),
    field(FIELD.member, "s", member),
  ]
  // each begins at a multiple of eight; what pads the last does not count
  const header = fields.reduce((whole, each) => Buffer.concat([pad(whole, 8), each]), Buffer.alloc(0))
  const body = argument === undefined ? Buffer.alloc(0) : text(argument)
  const fixed = Buffer.alloc(16)
  fixed.set([0x6c, METHOD_CALL, 0, 1]) // little-endian, a reply is wanted, version 1
  fixed.writeUInt32LE(body.length, 4)
  fixed.writeUInt32LE(serial, 8)
  fixed.writeUInt32LE(header.length, 12)
  return Buffer.concat([fixed, pad(header, 8), body])
}

type Message = { readonly type: number; readonly fields: ReadonlyMap<number, string>; readonly body: Buffer }

/** Tells the boolean of each such signal among the whole messages in `bytes`, and gives what is left. Throws Malformed. */
export const takeSignals = (
  bytes: Buffer<ArrayBuffer>,
  wanted: Signal,
  heard: (value: boolean) => void,
): Buffer<ArrayBuffer> =>
  takeAll(bytes, message => {
    const value = booleanOf(message, wanted)
    if (value !== undefined) heard(value)
  })

/** Hands every whole message in `bytes` on, and gives what is left. */
function takeAll(bytes: Buffer<ArrayBuffer>, use: (message: Message) => void): Buffer<ArrayBuffer> {
  for (let left = bytes; ; ) {
    if (left.length < 16) return left
    const little = left[0] === 0x6c
    if (!little && left[0] !== 0x42) throw new Malformed("a message of no byte order")
    const [bodyLength, fieldsLength] = [u32(left, 4, little), u32(left, 12, little)]
    const start = padded(16 + fieldsLength, 8)
    const end = start + bodyLength
    if (end > messageLimit) throw new Malformed(`a message of ${end} bytes`)
    if (left.length < end) return left
    use({
      type: left[1] ?? 0,
      fields: fieldsIn(left.subarray(16, 16 + fieldsLength), little),
      body: left.subarray(start, end),
    })
    left = left.subarray(end)
  }
}

const u32 = (bytes: Buffer, at: number, little: boolean): number => {
  if (at + 4 > bytes.length) throw new Malformed("a number beyond its message")
  return little ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at)
}

/** The header's fields of text; those that are numbers are passed over. */
function fieldsIn(bytes: Buffer, little: boolean): ReadonlyMap<number, string> {
  const fields = new Map<number, string>()
  for (let at = 0; at + 8 <= bytes.length; at = padded(at, 8)) {
    const [code = 0, , type = 0] = bytes.subarray(at, at + 3)
    at += 4
    if (type === 0x75) at += 4
    else {
      const value = valueAt(bytes, at, String.fromCharCode(type), little)
      fields.set(code, value.text)
      at = value.end
    }
  }
  return fields
}

function valueAt(bytes: Buffer, at: number, type: string, little: boolean): { text: string; end: number } {
  if (!["s", "o", "g"].includes(type)) throw new Malformed("a header field of an unknown type")
  const [length, begin] = type === "g" ? [bytes[at] ?? 0, at + 1] : [u32(bytes, at, little), at + 4]
  if (begin + length >= bytes.length) throw new Malformed("a header field beyond its header")
  return { text: bytes.subarray(begin, begin + length).toString("utf8"), end: begin + length + 1 }
}

/** The boolean in the signal that is waited for; undefined for any other message. */
function booleanOf({ type, fields, body }: Message, wanted: Signal): boolean | undefined {
  if (type === ERROR) throw new Malformed("the bus refuses to tell of the signal")
  if (type !== SIGNAL || fields.get(FIELD.member) !== wanted.member) return undefined
  if (fields.get(FIELD.interface) !== wanted.interface || fields.get(FIELD.path) !== wanted.path) return undefined
  if (fields.get(FIELD.signature) !== "b" || body.length !== 4) throw new Malformed(`${wanted.member} is no boolean`)
  return body.some(byte => byte !== 0)
}
