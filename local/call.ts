/**
 * How does one process on this machine ask another? By a closed set of verbs over a Unix socket: each request and each answer
 * is one length-prefixed JSON frame, read by its schema. Who may connect is the socket file's mode.
 */
import { Hinted, hintOf } from "../attestation/wire/hinted.ts"
import { chmodSync, rmSync } from "node:fs"
import { createConnection, createServer, type Server, type Socket } from "node:net"
import { z, type ZodType } from "zod"
import { frame, Unframer } from "../attestation/wire/frame.ts"
import { readJson, writeJson } from "../attestation/wire/json.ts"

/** The most bytes of one request or answer. */
export const callLimit = 1 << 21

/**
 * What a caller must show for a verb, besides that the socket let it in: nothing, where it looks or serves the caller's own; who decided it, by name; that
 * enough people signed it; or a token that somebody else issued. A person's name is demanded here, the rest by whoever carries it out.
 */
export type Needs = "the socket" | "a person" | "a listed root, or a person" | "people's signatures" | "an invitation"

type Verb = { readonly needs: Needs; readonly request: ZodType; readonly answer: ZodType }
export type Verbs = Readonly<Record<string, Verb>>
type Request<V extends Verbs, K extends keyof V> = z.infer<V[K]["request"]>
type Answer<V extends Verbs, K extends keyof V> = z.infer<V[K]["answer"]>
export type Handlers<V extends Verbs> = { readonly [K in keyof V]: (request: Request<V, K>) => Promise<Answer<V, K>> }

const problem = z.strictObject({ error: z.string().max(4096), hint: z.string().max(4096) })
const request = z.strictObject({ verb: z.string().max(64), with: z.unknown() })

/** The other side answered that it could not; `hint` says what to do. */
export class CallFailed extends Hinted {}

/** No answer came within the deadline: what it would have been is not known. */
export class CallLate extends CallFailed {}

/**
 * Serves `verbs` on `server`, one request after another on each connection. A request that is not one closes its connection.
 * `handlers` may throw: an Error with a string `hint` is told with it.
 */
export function serveVerbs<const V extends Verbs>(server: Server, verbs: V, handlers: Handlers<V>): void {
  server.on("connection", socket => {
    const frames = new Unframer(callLimit)
    let last = Promise.resolve()
    socket.on("error", () => socket.destroy())
    socket.on("data", chunk => {
      try {
        for (const each of frames.push(chunk)) last = last.then(() => answer(socket, verbs, handlers, each))
      } catch {
        socket.destroy()
      }
    })
  })
}

async function answer<V extends Verbs>(
  socket: Socket,
  verbs: V,
  handlers: Handlers<V>,
  bytes: Uint8Array,
): Promise<void> {
  const given = await carryOut(verbs, handlers, bytes).catch(explained)
  if (!socket.destroyed) socket.write(frame(writeJson(given)))
}

async function carryOut<V extends Verbs>(verbs: V, handlers: Handlers<V>, bytes: Uint8Array): Promise<unknown> {
  const { verb, with: given } = readJson(request, bytes, callLimit)
  const known = Object.hasOwn(verbs, verb) ? verbs[verb] : undefined
  const handler = Object.hasOwn(handlers, verb) ? handlers[verb] : undefined
  if (!known || !handler)
    throw new CallFailed(`there is no verb ${JSON.stringify(verb)}`, "bring both sides to one version")
  const parsed = known.request.safeParse(given)
  if (!parsed.success)
    throw new CallFailed(`${verb}: ${parsed.error.issues[0]?.message}`, "bring both sides to one version")
  if (known.needs === "a person" && !named(parsed.data))
    throw new CallFailed(`${verb} needs the name of who decides it`, "name a person: --by NAME")
  return { answer: await handler(parsed.data as Request<V, keyof V>) }
}

/** Whether a request says by whom it is. */
const named = (given: unknown): boolean =>
  typeof given === "object" && given !== null && "by" in given && typeof given.by === "string" && given.by.trim() !== ""

function explained(error: unknown): z.infer<typeof problem> {
  const hint = hintOf(error) || "look at its log"
  return { error: (error instanceof Error ? error.message : String(error)).slice(0, 4096), hint: hint.slice(0, 4096) }
}

/** A connection on which verbs are called, one at a time in order. */
export type Caller<V extends Verbs> = {
  call<K extends keyof V & string>(verb: K, given: Request<V, K>): Promise<Answer<V, K>>
  close(): void
}

type Waiting = { readonly answered: (frame: Uint8Array) => void; readonly failed: (error: Error) => void }

/** Connects to the socket at `path`. A call that has no answer within `deadline` milliseconds fails as {@link CallLate}, and with it the connection. */
export async function openCaller<const V extends Verbs>(path: string, verbs: V, deadline: number): Promise<Caller<V>> {
  const socket = await connected(path)
  const waiting: Waiting[] = []
  const fail = (error: Error): void => {
    socket.destroy()
    for (const each of waiting.splice(0)) each.failed(error)
  }
  const frames = new Unframer(callLimit)
  socket.on("error", ({ message }) => fail(new CallFailed(`${path}: ${message}`, "look at the log of what serves it")))
  socket.on("close", () => fail(new CallFailed(`${path} closed the connection`, "look at the log of what serves it")))
  socket.on("data", chunk => {
    try {
      for (const each of frames.push(chunk)) waiting.shift()?.answered(each)
    } catch (error) {
      fail(error as Error)
    }
  })
  return {
    call: async (verb, given) => {
      const timer = setTimeout(
        () => fail(new CallLate(`${verb}: no answer within ${deadline} ms`, "look at its log")),
        deadline,
      )
      try {
        return readAnswer(verbs, verb, await exchange(socket, waiting, { verb, with: given }))
      } finally {
        clearTimeout(timer)
      }
    },
    close: () => socket.destroy(),
  }
}

function exchange(socket: Socket, waiting: Waiting[], message: unknown): Promise<Uint8Array> {
  return new Promise((answered, failed) => {
    if (socket.destroyed) return failed(new CallFailed("the connection is closed", "open it anew"))
    waiting.push({ answered, failed })
    socket.write(frame(writeJson(message)))
  })
}

function readAnswer<V extends Verbs, K extends keyof V & string>(verbs: V, verb: K, bytes: Uint8Array): Answer<V, K> {
  const schema = z.union([problem, z.strictObject({ answer: verbs[verb]!.answer })])
  const given = readJson(schema, bytes, callLimit)
  if ("error" in given) throw new CallFailed(given.error, given.hint)
  return given.answer as Answer<V, K>
}

function connected(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(path)
    socket.once("connect", () => resolve(socket))
    socket.once("error", error => {
      const absent = "code" in error && (error.code === "ENOENT" || error.code === "ECONNREFUSED")
      reject(absent ? new CallFailed(`nothing answers at ${path}`, "start what serves it, or name its socket") : error)
    })
  })
}

/**
 * A server that listens on a Unix socket at `path` with `mode`; a socket that nobody serves any more is replaced. Serve it
 * before anything else is awaited: a connection that comes while nobody listens for it is never answered.
 */
export async function listenLocal(path: string, mode: number): Promise<Server> {
  const served = await connected(path).then(
    socket => !!socket.destroy(),
    () => false,
  )
  if (served) throw new CallFailed(`${path} is served already`, "stop the other process, or choose another socket")
  rmSync(path, { force: true })
  const server = createServer()
  const before = process.umask(0o177)
  try {
    await new Promise<void>((resolve, reject) => server.once("error", reject).listen(path, resolve))
  } finally {
    process.umask(before)
  }
  chmodSync(path, mode) // at once: the event loop must not turn before the caller serves
  return server
}

/** Who is connected to `server`, so that it can be closed without waiting for them. */
export function callersOf(server: Server): ReadonlySet<Socket> {
  const callers = new Set<Socket>()
  server.on("connection", socket => {
    callers.add(socket)
    socket.once("close", () => callers.delete(socket))
  })
  return callers
}
