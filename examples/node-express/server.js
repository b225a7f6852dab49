'use strict';

const express = require('express');

const app = express();
app.disable('x-powered-by');

app.get('/', (request, response) => {
  response.type('text').send('Hello from Express\n');
});

const server = app.listen(process.env.PORT || 3000, () => {
  console.log(`listening on port ${server.address().port}`);
});

process.on('SIGTERM', () => server.close());
