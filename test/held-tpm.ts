/**
 * How is a TPM stopped at one exact command? A relay between library and swtpm that asks before it hands a command on, and
 * before it hands the response back. What crosses can be read; nothing is altered.
 */
import { connect, createServer, type Server, type Socket } from "node:net"
import type { Swtpm } from "./swtpm.ts"

/** TPM_CC of the commands that tests wait for. */
export const commandCodes = {
  extend: 0x182,
  quote: 0x158,
  unseal: 0x15e,
  create: 0x153,
  readClock: 0x181,
  startSession: 0x176,
} as const

export interface HeldTpm {
  readonly tcti: string
  /** Every command and response, in order. */
  readonly seen: Uint8Array[]
  /** Asked before a command reaches the TPM; what it awaits, the TPM waits for. Set it at any time. */
  before: (code: number) => Promise<void>
  /** Asked before a response reaches the library. */
  after: (code: number) => Promise<void>
  close(): Promise<void>
}

/** A promise that a test resolves when it likes, and which says when somebody waits for it. */
export function gate(): { reached: Promise<void>; open: () => void; wait: () => Promise<void> } {
  const reached = Promise.withResolvers<void>()
  const opened = Promise.withResolvers<void>()
  const wait = async (): Promise<void> => {
    reached.resolve()
    await opened.promise
  }
  return { reached: reached.promise, open: opened.resolve, wait }
}

/** Starts a relay on the socket `h` beside the TPM's own. */
export async function holdTpm(swtpm: Swtpm): Promise<HeldTpm> {
  const path = `${swtpm.directory}/h`
  const sockets = new Set<Socket>()
  const held: HeldTpm = {
    tcti: `swtpm:path=${path}`,
    seen: [],
    before: async () => undefined,
    after: async () => undefined,
    async close() {
      for (const socket of sockets) socket.destroy()
      await Promise.all(servers.map(server => new Promise(resolve => server.close(resolve))))
    },
  }
  const servers = [
    relay(sockets, client => relayCommand(client, sockets, `${swtpm.directory}/s`, held)),
    relay(sockets, client => {
      const tpm = keep(sockets, connect(`${swtpm.directory}/s.ctrl`))
      client.pipe(tpm).pipe(client)
    }),
  ]
  await Promise.all(servers.map((server, i) => new Promise<void>(done => server.listen(path + ["", ".ctrl"][i], done))))
  return held
}

function relay(sockets: Set<Socket>, join: (client: Socket) => void): Server {
  return createServer(client => join(keep(sockets, client)))
}

function keep(sockets: Set<Socket>, socket: Socket): Socket {
  sockets.add(socket)
  return socket.on("error", () => socket.destroy()).on("close", () => sockets.delete(socket))
}

/** One message of the TPM's: its header says how long it is (Part 1, 18.4). */
function onMessage(socket: Socket, take: (message: Buffer) => void): void {
  let kept = Buffer.alloc(0)
  socket.on("data", piece => {
    kept = Buffer.concat([kept, Buffer.from(piece)])
    if (kept.length < 10 || kept.length < kept.readUInt32BE(2)) return
    const message = kept
    kept = Buffer.alloc(0)
    take(message)
  })
}

/** The TPM is connected to only when a command may pass, so that one may be restarted meanwhile. */
function relayCommand(client: Socket, sockets: Set<Socket>, target: string, held: HeldTpm): void {
  onMessage(client, command => {
    const code = command.readUInt32BE(6)
    held.seen.push(command)
    void held.before(code).then(() => {
      if (client.destroyed) return
      const tpm = keep(sockets, connect(target))
      tpm.write(command)
      client.once("close", () => tpm.destroy())
      onMessage(tpm, response => {
        held.seen.push(response)
        tpm.destroy() // swtpm serves one connection at a time, and others shall look while the response is held
        void held.after(code).then(() => client.write(response))
      })
    })
  })
}
