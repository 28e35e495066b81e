/**
 * What does someone on the TPM's bus see, and what can they change? A proxy between library and swtpm that keeps every
 * command and response, and may put another response in place.
 */
import { connect, createServer, type Server, type Socket } from "node:net"
import type { Swtpm } from "./swtpm.ts"

/** One exchange on the bus. */
export interface Exchange {
  readonly command: Uint8Array
  readonly response: Uint8Array
}

/** A proxy in front of a TPM. */
export interface TctiProxy {
  readonly tcti: string
  /** Everything that crossed, in order; empty it as you like. */
  readonly exchanges: Exchange[]
  /** What the library gets in place of the TPM's response; null drops the connection. Set it at any time. */
  alter: (response: Buffer, command: Buffer) => Buffer | null
  /** Milliseconds by which every response is held back. Set it at any time. */
  delay: number
  close(): Promise<void>
}

/** A command's TPM_CC: bytes 6 to 9 of its header (Part 1, 18.4). */
export const commandCode = (command: Buffer): number => (command.length < 10 ? 0 : command.readUInt32BE(6))

/** Starts a proxy on the socket `p` beside the TPM's own. */
export async function startTctiProxy(swtpm: Swtpm): Promise<TctiProxy> {
  const path = `${swtpm.directory}/p`
  const sockets = new Set<Socket>()
  const servers = [
    relay(`${swtpm.directory}/s`, sockets, (client, tpm) => relayCommands(client, tpm, proxy)),
    relay(`${swtpm.directory}/s.ctrl`, sockets, (client, tpm) => client.pipe(tpm).pipe(client)),
  ]
  const proxy: TctiProxy = {
    tcti: `swtpm:path=${path}`,
    exchanges: [],
    alter: response => response,
    delay: 0,
    async close() {
      const closed = servers.map(server => new Promise(resolve => server.close(resolve)))
      for (const socket of sockets) socket.destroy()
      await Promise.all(closed)
    },
  }
  await Promise.all(servers.map((server, index) => listen(server, index === 0 ? path : `${path}.ctrl`)))
  return proxy
}

function relay(target: string, sockets: Set<Socket>, join: (client: Socket, tpm: Socket) => void): Server {
  return createServer(client => {
    const tpm = connect(target)
    for (const [one, other] of [
      [client, tpm],
      [tpm, client],
    ] as const) {
      sockets.add(one)
      one.on("error", () => other.destroy())
      one.on("close", () => {
        sockets.delete(one)
        other.destroy()
      })
    }
    join(client, tpm)
  })
}

/** One command, then its response, may come in pieces; the response's header says how long it is. */
function relayCommands(client: Socket, tpm: Socket, proxy: TctiProxy): void {
  let command = Buffer.alloc(0)
  let response = Buffer.alloc(0)
  client.on("data", piece => {
    command = Buffer.concat([command, bytes(piece)])
    tpm.write(piece)
  })
  tpm.on("data", piece => {
    response = Buffer.concat([response, bytes(piece)])
    if (response.length < 10 || response.length < response.readUInt32BE(2)) return
    proxy.exchanges.push({ command, response })
    const altered = proxy.alter(Buffer.from(response), command)
    command = Buffer.alloc(0)
    response = Buffer.alloc(0)
    setTimeout(() => (altered === null ? client.destroy() : client.write(altered)), proxy.delay)
  })
}

const bytes = (piece: Buffer | string): Buffer => (typeof piece === "string" ? Buffer.from(piece) : piece)

const listen = (server: Server, path: string): Promise<void> =>
  new Promise((resolve, reject) => {
    server.once("error", reject).listen(path, resolve)
  })
