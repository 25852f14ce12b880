// ilp-protocol-stream as a process that a test drives, its packets carried over the same JSON lines as the commands.
//
// Packets, both ways:  {"packet": "<hex>", "id": n} is answered by {"answer": "<hex>", "id": n}
// In:  {"do": "listen", "receiveMax": "...", "receipts": {"nonce": hex, "secret": hex}, "echo": bool, "payBack": "..."}
// Out: {"listening": {"address": "...", "secret": hex}}, then {"money": "...", "total": "..."}, {"closed": true} as they happen
// In:  {"do": "pay", "address": "...", "secret": hex, "amount": "...", "data": hex, "receive": "...", "streams": n}
// Out: {"paid": {"sent": "...", "delivered": "...", "receipt": hex, "received": "...", "data": hex, "asset": [code, scale]}}
'use strict'
const readline = require('readline')
const stream = require('ilp-protocol-stream')

const tell = (what) => process.stdout.write(JSON.stringify(what) + '\n')

class LinePlugin {
  constructor () { this.waiting = new Map(); this.next = 1 }
  async connect () {}
  async disconnect () {}
  isConnected () { return true }
  registerDataHandler (handler) { this.handler = handler }
  deregisterDataHandler () { this.handler = undefined }
  sendData (packet) {
    const id = this.next++
    tell({ packet: packet.toString('hex'), id })
    return new Promise((resolve) => this.waiting.set(id, resolve))
  }
  async take ({ packet, answer, id }) {
    if (answer) {
      this.waiting.get(id)(Buffer.from(answer, 'hex'))
      this.waiting.delete(id)
    } else if (this.handler) {
      tell({ answer: (await this.handler(Buffer.from(packet, 'hex'))).toString('hex'), id })
    }
  }
}
LinePlugin.version = 2

const plugin = new LinePlugin()

const listen = async (asked) => {
  const server = await stream.createServer({ plugin })
  server.on('connection', (connection) => {
    connection.on('stream', (flow) => {
      flow.setReceiveMax(asked.receiveMax)
      flow.on('money', (amount) => tell({ money: amount, total: connection.totalReceived }))
      flow.on('data', (chunk) => { tell({ data: chunk.toString('hex') }); if (asked.echo) flow.write(chunk) })
      if (asked.payBack) flow.setSendMax(asked.payBack)
    })
    connection.on('error', (error) => tell({ failed: error.message }))
    connection.on('close', () => tell({ closed: true, total: connection.totalReceived }))
  })
  const options = asked.receipts && {
    receiptNonce: Buffer.from(asked.receipts.nonce, 'hex'),
    receiptSecret: Buffer.from(asked.receipts.secret, 'hex')
  }
  const { destinationAccount, sharedSecret } = server.generateAddressAndSecret(options)
  tell({ listening: { address: destinationAccount, secret: sharedSecret.toString('hex') } })
}

const pay = async (asked) => {
  const connection = await stream.createConnection({
    plugin, destinationAccount: asked.address, sharedSecret: Buffer.from(asked.secret, 'hex')
  })
  const flow = connection.createStream()
  const chunks = []
  flow.on('data', (chunk) => chunks.push(chunk))
  const expected = (asked.data || '').length / 2
  const echoed = new Promise((resolve) => {
    if (!asked.echo) return resolve()
    flow.on('data', () => { if (Buffer.concat(chunks).length >= expected) resolve() })
  })
  if (asked.data) flow.write(Buffer.from(asked.data, 'hex'))
  const received = asked.receive ? flow.receiveTotal(asked.receive) : undefined
  const others = []
  for (let more = 1; more < (asked.streams || 1); more++) others.push(connection.createStream())
  await Promise.all([flow.sendTotal(asked.amount), ...others.map((other) => other.sendTotal(asked.amount))])
  await received
  await echoed
  const paid = {
    sent: connection.totalSent,
    delivered: connection.totalDelivered,
    receipt: flow.receipt ? flow.receipt.toString('hex') : '',
    received: connection.totalReceived,
    data: Buffer.concat(chunks).toString('hex'),
    asset: [connection.destinationAssetCode, connection.destinationAssetScale]
  }
  await connection.end()
  tell({ paid })
}

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const asked = JSON.parse(line)
  if (!asked.do) return plugin.take(asked)
  const run = asked.do === 'listen' ? listen : pay
  run(asked).catch((error) => tell({ failed: error.message }))
}).on('close', () => process.exit(0))
