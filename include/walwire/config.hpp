// What the compiler must be, and the library's only three macros.
//
// WALWIRE_ASSERT(condition)  guards what our own code promised itself, never what a peer sent. It
//                            is off unless a build defines it (our tests do); define it before the
//                            first include to route it into a project's own assertion.
// WALWIRE_HOT, WALWIRE_COLD  keep the per-message path inlined into the caller's loop and push
//                            everything rarer out of it. They change speed, never meaning.
#pragma once

#if defined(_MSVC_LANG)
#if _MSVC_LANG < 202002L
#error "walwire needs C++20: compile with /std:c++20 or later."
#endif
#elif __cplusplus < 202002L
#error "walwire needs C++20: compile with -std=c++20 or later."
#endif

#ifndef WALWIRE_ASSERT
#define WALWIRE_ASSERT(condition) static_cast<void>(0)
#endif

#if defined(__GNUC__) || defined(__clang__)
#define WALWIRE_HOT [[gnu::always_inline]] inline
#define WALWIRE_COLD [[gnu::noinline, gnu::cold]]
#elif defined(_MSC_VER)
#define WALWIRE_HOT __forceinline
#define WALWIRE_COLD __declspec(noinline)
#else
#define WALWIRE_HOT inline
#define WALWIRE_COLD
#endif
