const express = require('express');
const pool = require('./database');

const app = express();
app.use(express.urlencoded());

async function list(response) {
  const { rows } = await pool.query('select name from visit order by id');
  response.type('text').send(rows.map(({ name }) => `${name} was here\n`).join(''));
}

app.get('/', (request, response) => list(response));
app.post('/', async (request, response) => {
  await pool.query('insert into visit (name) values ($1)', [request.body.name]);
  await list(response);
});

const server = app.listen(process.env.PORT ?? 8080);
process.on('SIGTERM', () => server.close(() => pool.end()));
