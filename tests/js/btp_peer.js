// An ilp-plugin-btp peer that a test drives: JSON lines on stdin and stdout.
//
//   node btp_peer.js client btp+ws://user:token@host:port      connects to a server
//   node btp_peer.js listener port token                       is a server for one client
//
// In:  {"send": "<hex of a packet>", "id": n}    Out: {"reply": "<hex>", "id": n} or {"error": "...", "id": n}
// Each packet that arrives is answered with its own bytes, the first one made a Fulfill's type, and told as {"got": "<hex>"}.
'use strict'
const readline = require('readline')
const Plugin = require('ilp-plugin-btp')

const [mode, where, token] = process.argv.slice(2)
const tell = (what) => process.stdout.write(JSON.stringify(what) + '\n')
const options = mode === 'client'
  ? { server: where, reconnectInterval: 20 }
  : { listener: { port: Number(where), secret: token } }
const plugin = new Plugin(options)

plugin.registerDataHandler(async (packet) => {
  tell({ got: packet.toString('hex') })
  return Buffer.concat([Buffer.from([13]), packet.slice(1)])
})
plugin.on('disconnect', () => tell({ disconnected: true }))
plugin.connect().then(() => tell({ connected: true }), (error) => tell({ error: error.message }))
if (mode === 'listener') tell({ listening: true })

readline.createInterface({ input: process.stdin }).on('line', async (line) => {
  const { send, id } = JSON.parse(line)
  try {
    const reply = await plugin.sendData(Buffer.from(send, 'hex'))
    tell({ reply: reply.toString('hex'), id })
  } catch (error) {
    tell({ error: error.message, id })
  }
}).on('close', () => process.exit(0))
