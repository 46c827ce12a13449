/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Words and prefixes that mark secrets in paths. The words are compared in lower case, by the last bytes of a part: see
 * segment.h.
 */
#ifndef MONITOR_HTTP1_SECRET_WORDS_H
#define MONITOR_HTTP1_SECRET_WORDS_H

#include "lib/pure.h"

/* The last bytes of a part, as struct segment has them. */
#define ENDS2(a, b)		      SHIFTED_IN(0, 0, 0, 0, 0, 0, a, b)
#define ENDS3(a, b, c)		      SHIFTED_IN(0, 0, 0, 0, 0, a, b, c)
#define ENDS4(a, b, c, d)	      SHIFTED_IN(0, 0, 0, 0, a, b, c, d)
#define ENDS5(a, b, c, d, e)	      SHIFTED_IN(0, 0, 0, a, b, c, d, e)
#define ENDS6(a, b, c, d, e, f)	      SHIFTED_IN(0, 0, a, b, c, d, e, f)
#define ENDS7(a, b, c, d, e, f, g)    SHIFTED_IN(0, a, b, c, d, e, f, g)
#define ENDS8(a, b, c, d, e, f, g, h) SHIFTED_IN(a, b, c, d, e, f, g, h)

/* Whether secrets are usual after a word of `part` bytes that ends so: "token", "password-reset", "webhooks",
 * "accept-invitation", "unsubscribe". */
PURE_INLINE bool precedes_secrets(__u64 tail, __u32 part)
{
	switch (low_bytes(tail, 3)) {
	case ENDS3('k', 'e', 'y'):
	case ENDS3('o', 't', 'p'):
	case ENDS3('p', 'w', 'd'):
		return true;
	}
	switch (low_bytes(tail, 4)) {
	case ENDS4('a', 'u', 't', 'h'):
	case ENDS4('c', 'o', 'd', 'e'):
	case ENDS4('f', 'e', 'e', 'd'):
	case ENDS4('h', 'o', 'o', 'k'):
	case ENDS4('i', 'c', 'a', 'l'):
	case ENDS4('j', 'o', 'i', 'n'):
	case ENDS4('k', 'e', 'y', 's'):
	case ENDS4('l', 'i', 'n', 'k'):
		/* "classical" */
		return part == 4 || low_bytes(tail, 4) != ENDS4('i', 'c', 'a', 'l');
	}
	switch (low_bytes(tail, 5)) {
	case ENDS5('c', 'r', 'e', 'd', 's'):
	case ENDS5('e', 'm', 'a', 'i', 'l'):
	case ENDS5('f', 'e', 'e', 'd', 's'):
	case ENDS5('h', 'o', 'o', 'k', 's'):
	case ENDS5('l', 'i', 'n', 'k', 's'):
	case ENDS5('l', 'o', 'g', 'i', 'n'):
	case ENDS5('m', 'a', 'g', 'i', 'c'):
	case ENDS5('r', 'e', 's', 'e', 't'):
	case ENDS5('s', 'h', 'a', 'r', 'e'):
	case ENDS5('t', 'o', 'k', 'e', 'n'):
		return true;
	}
	switch (low_bytes(tail, 6)) {
	case ENDS6('a', 'c', 'c', 'e', 'p', 't'):
	case ENDS6('b', 'e', 'a', 'r', 'e', 'r'):
	case ENDS6('i', 'n', 'v', 'i', 't', 'e'):
	case ENDS6('r', 'e', 'd', 'e', 'e', 'm'):
	case ENDS6('s', 'e', 'c', 'r', 'e', 't'):
	case ENDS6('s', 'h', 'a', 'r', 'e', 'd'):
	case ENDS6('s', 'h', 'a', 'r', 'e', 's'):
	case ENDS6('s', 'i', 'g', 'n', 'i', 'n'):
	case ENDS6('t', 'o', 'k', 'e', 'n', 's'):
	case ENDS6('u', 'n', 'l', 'o', 'c', 'k'):
	case ENDS6('v', 'e', 'r', 'i', 'f', 'y'):
		return true;
	}
	switch (low_bytes(tail, 7)) {
	case ENDS7('c', 'o', 'n', 'f', 'i', 'r', 'm'):
	case ENDS7('i', 'n', 'v', 'i', 't', 'e', 's'):
	case ENDS7('p', 'r', 'i', 'v', 'a', 't', 'e'):
	case ENDS7('r', 'e', 'c', 'o', 'v', 'e', 'r'):
	case ENDS7('r', 'e', 'f', 'r', 'e', 's', 'h'):
	case ENDS7('s', 'e', 'c', 'r', 'e', 't', 's'):
	case ENDS7('s', 'e', 's', 's', 'i', 'o', 'n'):
		return true;
	}
	switch (tail) {
	case ENDS8('a', 'c', 't', 'i', 'v', 'a', 't', 'e'):
	case ENDS8('d', 'e', 'n', 't', 'i', 'a', 'l', 's'): /* "credentials" */
	case ENDS8('i', 'r', 'm', 'a', 't', 'i', 'o', 'n'): /* "confirmation" */
	case ENDS8('i', 't', 'a', 't', 'i', 'o', 'n', 's'): /* "invitations" */
	case ENDS8('p', 'a', 's', 's', 'w', 'o', 'r', 'd'):
	case ENDS8('r', 'e', 'c', 'o', 'v', 'e', 'r', 'y'):
	case ENDS8('s', 'e', 'r', 'v', 'i', 'c', 'e', 's'):
	case ENDS8('s', 'e', 's', 's', 'i', 'o', 'n', 's'):
	case ENDS8('t', 'i', 'v', 'a', 't', 'i', 'o', 'n'): /* "activation" */
	case ENDS8('u', 'b', 's', 'c', 'r', 'i', 'b', 'e'):
	case ENDS8('v', 'i', 't', 'a', 't', 'i', 'o', 'n'): /* "invitation" */
		return true;
	}
	return false;
}

/* The later, the surer. */
enum key_word {
	KEY_WORD_NONE,
	KEY_WORD_WEAK, /* marks keys and other things: "live", "test" */
	KEY_WORD,      /* can also be a word or a name: "sk", "npm" */
	KEY_WORD_SURE, /* marks keys alone: "ghp", "glpat" */
};

/* Whether the part of `part` bytes is a word by which a service marks its keys, before "-", "_" or ".". */
PURE_INLINE enum key_word key_word(__u64 tail, __u32 part, __u32 next)
{
	__u64 word = part < 8 ? low_bytes(tail, part) : tail;

	if (part < 2 || part > 8)
		return KEY_WORD_NONE;
	/* "xoxb", "xoxp", "xoxe" of Slack; "ghp", "gho", "ghu", "ghs", "ghr" of GitHub */
	if ((part == 4 && word >> 8 == ENDS3('x', 'o', 'x')) || (part == 3 && word >> 8 == ENDS2('g', 'h')))
		return KEY_WORD_SURE;
	switch (word) {
	case ENDS2('d', 'p'):	   /* Doppler */
	case ENDS2('s', 'g'):	   /* SendGrid */
	case ENDS2('s', 'l'):	   /* Dropbox */
	case ENDS2('t', 'k'):	   /* Mapbox */
	case ENDS3('h', 'v', 'b'): /* Vault */
	case ENDS3('h', 'v', 'r'):
	case ENDS3('h', 'v', 's'):
	case ENDS3('m', 'f', 'a'): /* Discord */
		return next == '.' ? KEY_WORD : KEY_WORD_NONE;
	case ENDS4('a', 'p', 'i', 'k'):
	case ENDS4('l', 'i', 'v', 'e'):
	case ENDS4('t', 'e', 's', 't'):
	case ENDS3('a', 'p', 'i'):
	case ENDS3('p', 'a', 't'):
	case ENDS3('s', 'd', 'k'):
		return KEY_WORD_WEAK;
	case ENDS2('e', 'k'):
	case ENDS2('f', 'c'): /* Firecrawl */
	case ENDS2('f', 'w'): /* Fireworks */
	case ENDS2('h', 'f'): /* Hugging Face */
	case ENDS2('p', 'k'):
	case ENDS2('r', '8'):	   /* Replicate */
	case ENDS2('r', 'k'):	   /* Stripe */
	case ENDS2('s', 'k'):	   /* Stripe, language models */
	case ENDS3('c', 's', 'k'): /* Cerebras */
	case ENDS3('d', 'o', 'o'): /* DigitalOcean */
	case ENDS3('d', 'o', 'p'):
	case ENDS3('d', 'o', 'r'):
	case ENDS3('f', 'm', '2'): /* Fly.io */
	case ENDS3('f', 'o', '1'):
	case ENDS3('g', 'l', 'c'): /* Grafana */
	case ENDS3('g', 's', 'k'): /* Groq */
	case ENDS3('l', 'i', 'n'): /* Linear */
	case ENDS3('n', 'f', 'p'): /* Netlify */
	case ENDS3('n', 'p', 'm'):
	case ENDS3('n', 't', 'n'): /* Notion */
	case ENDS3('p', 'h', 'c'): /* PostHog */
	case ENDS3('p', 'h', 'x'):
	case ENDS3('p', 'u', 'l'): /* Pulumi */
	case ENDS3('r', 'n', 'd'): /* Render */
	case ENDS3('r', 'z', 'p'): /* Razorpay */
	case ENDS3('s', 'b', 'p'): /* Supabase */
	case ENDS3('s', 'g', 'p'): /* Sourcegraph */
	case ENDS3('t', 'f', 'p'): /* Typeform */
	case ENDS3('t', 'g', 'p'): /* Together */
	case ENDS3('x', 'a', 'i'):
	case ENDS4('j', 'i', 'n', 'a'):
	case ENDS4('n', 'a', 'p', 'i'): /* Neon */
	case ENDS4('p', 'y', 'p', 'i'):
	case ENDS4('r', 'd', 'm', 'e'): /* ReadMe */
	case ENDS4('w', 'a', 'k', 'a'): /* WakaTime */
	case ENDS5('a', 'p', 'i', 'f', 'y'):
	case ENDS6('p', 's', 'c', 'a', 'l', 'e'):      /* PlanetScale */
	case ENDS7('a', 't', 'l', 'a', 's', 'v', '1'): /* Terraform */
	case ENDS8('r', 'u', 'b', 'y', 'g', 'e', 'm', 's'):
		return KEY_WORD;
	case ENDS4('b', 'k', 'u', 'a'): /* Buildkite */
	case ENDS4('d', 'c', 'k', 'r'): /* Docker */
	case ENDS4('f', 'i', 'g', 'd'): /* Figma */
	case ENDS4('f', 'i', 'g', 'u'):
	case ENDS4('g', 'l', 'd', 't'): /* GitLab */
	case ENDS4('g', 'l', 'f', 't'):
	case ENDS4('g', 'l', 'r', 't'):
	case ENDS4('g', 'l', 's', 'a'):	     /* Grafana */
	case ENDS4('h', 'r', 'k', 'u'):	     /* Heroku */
	case ENDS4('l', 's', 'v', '2'):	     /* LangSmith */
	case ENDS4('n', 'r', 'a', 'k'):	     /* New Relic */
	case ENDS4('p', 'c', 's', 'k'):	     /* Pinecone */
	case ENDS4('p', 'm', 'a', 'k'):	     /* Postman */
	case ENDS4('p', 'p', 'l', 'x'):	     /* Perplexity */
	case ENDS4('t', 'v', 'l', 'y'):	     /* Tavily */
	case ENDS4('x', 'a', 'p', 'p'):	     /* Slack */
	case ENDS4('y', 'a', '2', '9'):	     /* Google */
	case ENDS5('c', 'f', 'p', 'a', 't'): /* Contentful */
	case ENDS5('g', 'l', 'c', 'b', 't'):
	case ENDS5('g', 'l', 'i', 'm', 't'):
	case ENDS5('g', 'l', 'o', 'a', 's'):
	case ENDS5('g', 'l', 'p', 'a', 't'):
	case ENDS5('g', 'l', 'p', 't', 't'):
	case ENDS5('n', 'v', 'a', 'p', 'i'): /* NVIDIA */
	case ENDS5('s', 'h', 'p', 'a', 't'): /* Shopify */
	case ENDS5('s', 'h', 'p', 'c', 'a'):
	case ENDS5('s', 'h', 'p', 'p', 'a'):
	case ENDS5('s', 'h', 'p', 's', 's'):
	case ENDS5('s', 'h', 'p', 'u', 'a'):
	case ENDS5('w', 'h', 's', 'e', 'c'):	  /* Stripe */
	case ENDS6('c', 'c', 'i', 'p', 'a', 't'): /* CircleCI */
	case ENDS6('d', 't', '0', 'c', '0', '1'): /* Dynatrace */
	case ENDS6('g', 'l', 'f', 'f', 'c', 't'):
	case ENDS6('g', 'l', 's', 'o', 'a', 't'):
	case ENDS6('g', 'o', 'c', 's', 'p', 'x'): /* Google */
	case ENDS6('s', 'n', 't', 'r', 'y', 's'): /* Sentry */
	case ENDS6('s', 'n', 't', 'r', 'y', 'u'):
	case ENDS6('s', 'q', '0', 'a', 't', 'p'): /* Square */
	case ENDS6('s', 'q', '0', 'c', 's', 'p'):
	case ENDS6('s', 'q', '0', 'i', 'd', 'p'):
	case ENDS7('f', 'l', 'w', 's', 'e', 'c', 'k'): /* Flutterwave */
	case ENDS7('g', 'l', 'a', 'g', 'e', 'n', 't'):
	case ENDS7('x', 'k', 'e', 'y', 's', 'i', 'b'): /* Brevo */
	case ENDS8('x', 's', 'm', 't', 'p', 's', 'i', 'b'):
		return KEY_WORD_SURE;
	}
	return KEY_WORD_NONE;
}

/* Whether a part begins as the keys of services do that have no word before them. */
PURE_INLINE bool is_key_head(__u64 head)
{
	switch (low_bytes(head, 3)) {
	case WORD('E', 'A', 'A', 0, 0, 0, 0, 0): /* Facebook, Square */
	case WORD('e', 'y', 'J', 0, 0, 0, 0, 0): /* a JWT: the base64 of a brace and a quote */
		return true;
	}
	switch (low_bytes(head, 4)) {
	case WORD('A', 'B', 'I', 'A', 0, 0, 0, 0): /* AWS */
	case WORD('A', 'C', 'C', 'A', 0, 0, 0, 0):
	case WORD('A', 'K', 'I', 'A', 0, 0, 0, 0):
	case WORD('A', 'S', 'I', 'A', 0, 0, 0, 0):
	case WORD('A', 'I', 'z', 'a', 0, 0, 0, 0): /* Google */
	case WORD('A', 'K', 'I', 'D', 0, 0, 0, 0): /* Tencent */
	case WORD('L', 'T', 'A', 'I', 0, 0, 0, 0): /* Alibaba */
	case WORD('A', 'T', 'A', 'T', 0, 0, 0, 0): /* Atlassian */
	case WORD('A', 'T', 'B', 'B', 0, 0, 0, 0):
	case WORD('A', 'T', 'C', 'T', 0, 0, 0, 0):
	case WORD('E', 'Z', 'A', 'K', 0, 0, 0, 0): /* EasyPost */
	case WORD('E', 'Z', 'T', 'K', 0, 0, 0, 0):
	case WORD('p', 'p', 'l', 'x', 0, 0, 0, 0):
		return true;
	}
	return false;
}

#endif
