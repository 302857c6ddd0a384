// Exchanges that were recorded with real servers, by a client that is not this library. The
// client's nonce is fixedClientNonce0123456789 in each.
#pragma once

#include <string_view>
#include <utility>

namespace recorded {

struct exchange {
    int server; // PostgreSQL's major version
    std::string_view password;
    bool bound; // SCRAM-SHA-256-PLUS, inside TLS
    std::string_view server_first;
    std::string_view client_final;
    std::string_view server_final;
};

inline constexpr exchange exchanges[] = {
    {12, "scramsecret", false,
     "r=fixedClientNonce0123456789x//ykmze/wQuovfFgouByVFN,s=4ymtXoT8jUCmBesXFi/wfA==,i=4096",
     "c=biws,r=fixedClientNonce0123456789x//ykmze/wQuovfFgouByVFN,p=1lnPC7447cTjoeq5/RNU+0L4ClqLJN"
     "1rt8KVSoheU+Q=",
     "v=bYugLCevWeyFrgzjWZN3upuV08+1Ht/JQBFysir2oqU="},
    {13, "scramsecret", false,
     "r=fixedClientNonce0123456789bgGrS/1i9vRBtkPXIbx20K/V,s=EhHe3V7wK+3JIQFIkV/WCg==,i=4096",
     "c=biws,r=fixedClientNonce0123456789bgGrS/1i9vRBtkPXIbx20K/V,p=VtvrJ4HthQ5Q8X+GSGG9Y5EdYXrB7W"
     "Wyc8iDY05uA8s=",
     "v=Y3tIUOQD2u5jf7u4dsBCbEdTaSx4qqOSUs4peep+llo="},
    {15, "scramsecret", false,
     "r=fixedClientNonce0123456789Te2dVcqYXJgAFMj5G9ZPWpaX,s=TdOpkoktwnsJv8NVNtkEew==,i=4096",
     "c=biws,r=fixedClientNonce0123456789Te2dVcqYXJgAFMj5G9ZPWpaX,p=dRmhHDvuvN8gcf6+0SPVo3w90eNTbB"
     "MYVwjPPJk2jPY=",
     "v=pNx0Rn7lkDVOH8g1LQdvdO+GO6UAaq2jNoLvVyZ4uSQ="},
    {17, "scramsecret", false,
     "r=fixedClientNonce0123456789+9NACWqO9/Um8G0eXCF4K/EO,s=E/iE5TiRvOf1gMaFJiM2FQ==,i=4096",
     "c=biws,r=fixedClientNonce0123456789+9NACWqO9/Um8G0eXCF4K/EO,p=gmXdbvOGiTHoFjN+KixBVj17hpdbet"
     "ojefhsP7TRhT4=",
     "v=qUrgDzzAYviLUKFKMAmTr0TZ/NY9dGLnnhTarN5vRw8="},
    {18, "scramsecret", false,
     "r=fixedClientNonce0123456789wpWFrkFQtckIVvtLfq7Rhpiv,s=WxbnCiSEEoIurL/FEDQONg==,i=4096",
     "c=biws,r=fixedClientNonce0123456789wpWFrkFQtckIVvtLfq7Rhpiv,p=5TC99xfKoQGXp0jth4zo+exI0CVzft"
     "bN2m/lmJkaSY8=",
     "v=MKbBrR5Ptt/RBoJuNA511eI6L+aE6LNWNnyjiuUGsO8="},
    {12, "\x49\xc2\xad\x58\xe2\x85\xa8", false,
     "r=fixedClientNonce0123456789bY5++pWw0vJKxxkjRfsnseI3,s=PIjhV28imosMFSsF4ArgCQ==,i=4096",
     "c=biws,r=fixedClientNonce0123456789bY5++pWw0vJKxxkjRfsnseI3,p=9swcLJ7i8Nrg2Jvdy8Piq7iOXMCIWa"
     "Bww5pxe+xiNWQ=",
     "v=CuLjWLEpCQ9Ox7oyKpYqc5HlUY1xW5XcTq/vcUhsRX0="},
    {13, "\x49\xc2\xad\x58\xe2\x85\xa8", false,
     "r=fixedClientNonce012345678996g3vTnT36XroWJPi03s9na/,s=dAXuTGSZWOCBSCsaiJ2jgQ==,i=4096",
     "c=biws,r=fixedClientNonce012345678996g3vTnT36XroWJPi03s9na/,p=w6dCepQJxiNiettN1ujFB+kCaOx5lH"
     "dECNSYY5XL08k=",
     "v=IZkr4SGSI7PgYIih8xN3nEuzhHwXGJGMFWS+h5zQKGQ="},
    {15, "\x49\xc2\xad\x58\xe2\x85\xa8", false,
     "r=fixedClientNonce0123456789D90QF1F9xRuzvspoC48BYfoM,s=A+v+ovlj9Ck3S8m9ZSPP2w==,i=4096",
     "c=biws,r=fixedClientNonce0123456789D90QF1F9xRuzvspoC48BYfoM,p=FZVm02GGt9s3MxIBT6eD82u7x8ehKJ"
     "wbxQ36wIqVvdM=",
     "v=5OJka0KwAnjA88D4chKuMj0l0ZjQ4WRYC3vicnuxPDE="},
    {17, "\x49\xc2\xad\x58\xe2\x85\xa8", false,
     "r=fixedClientNonce0123456789atFLfa4M77/wcAEGqXtR7BwP,s=jnnfL11Du+bCf8hyI0C3hA==,i=4096",
     "c=biws,r=fixedClientNonce0123456789atFLfa4M77/wcAEGqXtR7BwP,p=ekHYLSLBfgcouc+b3XWEPPJogCsnys"
     "NS/v97DmKiIe0=",
     "v=1SiIKCgba/tmDNjjxjZHrRO0g8XcjAexMgxy33LxpPg="},
    {18, "\x49\xc2\xad\x58\xe2\x85\xa8", false,
     "r=fixedClientNonce0123456789CK0Faf1eDYKWZMb4R4xGdYN/,s=kpyM7wLD64uk4V6XZ79K2Q==,i=4096",
     "c=biws,r=fixedClientNonce0123456789CK0Faf1eDYKWZMb4R4xGdYN/,p=k+bHleO4KkPtO1r40b8Sv+r8tdnNvk"
     "zJGve5rbXINoQ=",
     "v=dtlLJaYfSKPnsmo4x/4yDUYVtGKwlc0NprPAmu3zEAg="},
    {12, "scramsecret", true,
     "r=fixedClientNonce01234567897LV6DYkSy+rZL7I4Z6XybdbB,s=4ymtXoT8jUCmBesXFi/wfA==,i=4096",
     "c=cD10bHMtc2VydmVyLWVuZC1wb2ludCwsXTeKEFOlQOwVVxY2figdO8HJunumWQ3lG3fcPUOclDI=,r=fixedClient"
     "Nonce01234567897LV6DYkSy+rZL7I4Z6XybdbB,p=2qrIvJmd3gd/yMvCLdHwxD+USp8ew66MbopvsumgkOU=",
     "v=KFHhOdRmo5jlcRKg/f1Tpha9vrckptkuTV73A2RsBA0="},
    {13, "scramsecret", true,
     "r=fixedClientNonce0123456789WPNZ0TYc1QczDMNMtFV8AQH1,s=EhHe3V7wK+3JIQFIkV/WCg==,i=4096",
     "c=cD10bHMtc2VydmVyLWVuZC1wb2ludCwsETKi1pPaIP3UUeDjnrUesSWpVabOMeeT4A8fvl/iMOw=,r=fixedClient"
     "Nonce0123456789WPNZ0TYc1QczDMNMtFV8AQH1,p=sCwmL+g/fblsKxhYMvsKRH9es6eec+wW/wcYtKMJFHc=",
     "v=jKjLjA6Rnxrh6+b+jFdo97vp6+Ru2xCVEXauAZ6UbPw="},
    {15, "scramsecret", true,
     "r=fixedClientNonce0123456789cpo7+pY6Xpapr8BS8zEViLpm,s=TdOpkoktwnsJv8NVNtkEew==,i=4096",
     "c=cD10bHMtc2VydmVyLWVuZC1wb2ludCws2hAQuMs58KN13u1zXKT/PhEt6L8hHa4RDPyreUkv1Vk=,r=fixedClient"
     "Nonce0123456789cpo7+pY6Xpapr8BS8zEViLpm,p=PLGozrknOxApXTdR4x1DMjw0LOzn9HxHsZrOdbnX0w8=",
     "v=xyU4JbeWkKuDGOejSsNOq2mZzaz50vG/Zh1u43k3edo="},
    {17, "scramsecret", true,
     "r=fixedClientNonce01234567898U6ujbW9v22yMwnd2HoacYrQ,s=E/iE5TiRvOf1gMaFJiM2FQ==,i=4096",
     "c=cD10bHMtc2VydmVyLWVuZC1wb2ludCwsiV8A6uiMFsB6hR27YHTb5tSRnjGrCGULgTx6lsrDCEA=,r=fixedClient"
     "Nonce01234567898U6ujbW9v22yMwnd2HoacYrQ,p=+AxEiTpPo5azG5UAtQ8R5orfLTLrL+ITaESm1AesTcU=",
     "v=4XhI3LpQ7TPN0PciMTSkLlF6R3dWQUN2I3xNu5q64fw="},
    {18, "scramsecret", true,
     "r=fixedClientNonce0123456789pRoLW0nKmTIATLxfooqh9iEO,s=WxbnCiSEEoIurL/FEDQONg==,i=4096",
     "c=cD10bHMtc2VydmVyLWVuZC1wb2ludCws/Mnl9qQc1/nvJzshV5Qen8XBt0ubmA5MHUJUmgjNmtM=,r=fixedClient"
     "Nonce0123456789pRoLW0nKmTIATLxfooqh9iEO,p=ZE9V/yYDApOX/3WeygZxxlEygXbBqaVNkGqvI7GtozQ=",
     "v=qkuftpiQ0y6KvToy9kuTSLali2B3+JYc1BWFxUzjd/U="},
    {12, "mixedsecret", false,
     "r=fixedClientNonce0123456789HRgwuVGdF5ViL8dI1QDM8ckk,s=94ikD0RoHcoRRCZgYEixog==,i=4096",
     "c=biws,r=fixedClientNonce0123456789HRgwuVGdF5ViL8dI1QDM8ckk,p=j3RQUlVZi1Pu2OUoJMsQgNS727D3fe"
     "CsP8zNKYJbOnU=",
     "v=ZAD44wm+WmuromGjHBA3NhDkvcfzgQ3cKOEEO8aligI="},
    {13, "mixedsecret", false,
     "r=fixedClientNonce0123456789xgN1f3km/DNsFi82LqFppyQv,s=U4v8unqgvzN+NSEci2kcOg==,i=4096",
     "c=biws,r=fixedClientNonce0123456789xgN1f3km/DNsFi82LqFppyQv,p=7XUo4zm/SAKGEgvjVBI9KlzDOr651y"
     "YWwYsWQo6w5AQ=",
     "v=D68/RCPOA0t6rnSpetho3M4fhurM7vqN4kITS93aqmE="},
    {15, "mixedsecret", false,
     "r=fixedClientNonce012345678978s0PnS+ASf4uFR3wxkIuC2w,s=Fkb1sgDMDimmw59ZNlo51w==,i=4096",
     "c=biws,r=fixedClientNonce012345678978s0PnS+ASf4uFR3wxkIuC2w,p=1XNDDuLjr8At390/SuVMlVC+EcsKlD"
     "JCTkMl7ldAi6I=",
     "v=SFU3YmEQFF7FpjmLRCa4L8CA/geiIzI78VE6K2WzxfU="},
    {17, "mixedsecret", false,
     "r=fixedClientNonce0123456789sYC9du+jrFoiBq/zUCHtuYgW,s=M4fEZsB36QoPFzhlWvlBdw==,i=4096",
     "c=biws,r=fixedClientNonce0123456789sYC9du+jrFoiBq/zUCHtuYgW,p=DznG7hNckOzetmjSQTPCIar28f+MOh"
     "pow/BG4Jv5Lb8=",
     "v=aRqF5g4Aj0zSOiJ2RjX1vp7HGORIm9lbYghifMUHmvs="},
    {18, "mixedsecret", false,
     "r=fixedClientNonce0123456789cLAa1fKyT7yXK1wWxt5vEnhN,s=ynn3XLgGYb3OUByAYM/ZnQ==,i=4096",
     "c=biws,r=fixedClientNonce0123456789cLAa1fKyT7yXK1wWxt5vEnhN,p=3K0iD9OwrH0F5kmYcWmITGGPMQS0Ol"
     "vZ3VwRbUoeGCw=",
     "v=1zIFORl3oWUVHYMg5tMQB/0Xd4sO5KG3QS4gMk6kK6E="},
};

// The certificate of the servers that bound their exchange, in base64.
inline constexpr std::pair<int, std::string_view> certificates[] = {
    {12,
     "MIIDCTCCAfGgAwIBAgIUdYtrLydy0TEsx7xTLQpCh1/WNmowDQYJKoZIhvcNAQELBQAwFDESMBAGA1UEAwwJbG9jYWxo"
     "b3N0MB4XDTI2MTEyMTA5NDU0N1oXDTM2MTExODA5NDU0N1owFDESMBAGA1UEAwwJbG9jYWxob3N0MIIBIjANBgkqhkiG"
     "9w0BAQEFAAOCAQ8AMIIBCgKCAQEAiYeLJ5uJFvr2X7Q2unmYcK/bAkTNUyScr7ln50/A8iB+ZqNHsmkUGQVlVJyCl821"
     "yXyAxg/aoq45YGvQVebPbc6qEeMigItd7xTnTdDdsMMMuWpF0iP9n6z9mBlOOap9s/DmGPRjZRkTmkbEOIAufqT+PYqz"
     "R//5AqzDSiAS5XGscdqyhffgMfpGQ/R9uSQMiTiSxGARyKeVBlJsxzURZ3xOkRKWPcQ4Tgg7DQgUsuy481RJg7SGNXl8"
     "CRxvUAABcYryz/vsFbUmkZWp79PrZ3fw0FRVJBx8zbab4LLSn3LDNx7kdq3sWDumKYPyaYLcoqCWCdrSHREH6pUwxAOd"
     "zQIDAQABo1MwUTAdBgNVHQ4EFgQUpynjMrsV+79qaB2HbWtYaWCvpO8wHwYDVR0jBBgwFoAUpynjMrsV+79qaB2HbWtY"
     "aWCvpO8wDwYDVR0TAQH/BAUwAwEB/zANBgkqhkiG9w0BAQsFAAOCAQEAcIO2EJgqQvCpEreDEp9MVh5as800eymFgbVD"
     "5dbXmce+1Af9+qv46hCbipk34RpGQrLbq91zl6YKLJ9tnpxt6Wgv4ZcfQkXjteexwrBwaPWDrC9px1wHGbvBNYKl15hK"
     "9XSlOngr0ONvKiLdIsMFYG0Tyl7tM/nrvGR/VahyVarLjhgUI6LGJ/itgtNMq64NI5ZPfi7nu3Mky6UOt9iVgT/xvnU0"
     "F5yHry1sTIrH6EntPyJnXTDwA1FYo7P3xzUSugi9vu4NktpdNmzHxVMj2UQ+VtUiZs3QaqkU/Su4oZM2RFy/wZKH5VUY"
     "BiMA+rF+95qyow79PaR1UhMWX9c2og=="},
    {13,
     "MIIDCTCCAfGgAwIBAgIULKktYvmKsWi3xfA1l5X7Tz4D6CEwDQYJKoZIhvcNAQELBQAwFDESMBAGA1UEAwwJbG9jYWxo"
     "b3N0MB4XDTI2MTEyMTA5NDU0N1oXDTM2MTExODA5NDU0N1owFDESMBAGA1UEAwwJbG9jYWxob3N0MIIBIjANBgkqhkiG"
     "9w0BAQEFAAOCAQ8AMIIBCgKCAQEAjtf/iqrTHIPwpcdXS31LwyaoEj1Ly5l3ARxJiWpuikNjwkn2Y6boXGeSj9Pr5llW"
     "fRTNrnQKnFKJN4nIPkSUcjF0ZjFNUCXXnjol6iYTH+CeK55SADFffdXSU6p9zn4l+Yu1oDo11dlEmuBnPI67/gWtlMm+"
     "0irPHF8hk5EhSN94asCw3fMvysXwwj/uyXHB47v1ea/7ujhG3izvXjY4JGedulS4OuySNL6LP8Q5xo0veTcNtUe7Egrx"
     "gFE48kH0PG9M6Su0GrKJSX4IIzN7o849T0a0Ig6GGZqOwA10QvB6Ov1wAEGi++hXmIp370xPluffIO9lZ7kwNh8t21VA"
     "+wIDAQABo1MwUTAdBgNVHQ4EFgQUQNOPw9EEUzdSgK9S9D0NMuWN7xMwHwYDVR0jBBgwFoAUQNOPw9EEUzdSgK9S9D0N"
     "MuWN7xMwDwYDVR0TAQH/BAUwAwEB/zANBgkqhkiG9w0BAQsFAAOCAQEAD0Si1DQGvfpn5bvD4O0Ltcdwthk4xfiLM8QT"
     "s9M7O3xU8pB4PzSc90Niwe4v5+dXHFU2d6OR9AugIyEhQAohQVFfnGy6/w2JOSieTexcmkdRHbwDPROtPOYuA3HYQots"
     "epDz5FJKEnj4K1zkY7vmgOQ3zbcgl0bu0MBugPSivFhTSA6+1C/croRTAIoFvWLwOahTsDCTIRO+33v1l+F0XUzIQQwK"
     "dIgHizVkwxOhbvjrj1X24w/Zf9mbA/cmXCfw9siT+Dqn7CGo+iKzvdLOuTYE9dBuD6axGr4Bb3fV3j4OXIZ4zT+7c+lt"
     "sct0BzTbcdWaf/JaDik9ts3Au5CytA=="},
    {15,
     "MIIDCTCCAfGgAwIBAgIUfQ7b1vAfjofVVASfB+UXPrhTJo4wDQYJKoZIhvcNAQELBQAwFDESMBAGA1UEAwwJbG9jYWxo"
     "b3N0MB4XDTI2MTEyMTA5NDYwOFoXDTM2MTExODA5NDYwOFowFDESMBAGA1UEAwwJbG9jYWxob3N0MIIBIjANBgkqhkiG"
     "9w0BAQEFAAOCAQ8AMIIBCgKCAQEAkF9NS8XiAn0/aUUepmx12wpT0xZB1B4iezXwW+vskJBhqOhHVy09EurKBg40BBFE"
     "BhPPXD/LsfzZjb2ky/m4nYuMGAChrocE+0etbwusxIJ1d1s18ev7S6FwDoxSYJk8Nymc/+emY7uUWiyfMmGdxW5TX/Iz"
     "Jg0vWbluAN474WrAdlJWm2seqbLK+5cXVTjAQnedvcpGVoU7G8MOBtCwXjHD5dVrlz3h5PK++bF4wYIQJw9iGYkDscr/"
     "jr0stH5u26I3TIrt8gOx+TMX/+8M7O30Rr8AeoCQc7cU6fff0/EdvPoua9JyVJhZl+oae6JmFYOX800AyKhHoZ/MOwo1"
     "6wIDAQABo1MwUTAdBgNVHQ4EFgQUW3VLwTwKyfDJ2MaLTgeWCasuu1owHwYDVR0jBBgwFoAUW3VLwTwKyfDJ2MaLTgeW"
     "Casuu1owDwYDVR0TAQH/BAUwAwEB/zANBgkqhkiG9w0BAQsFAAOCAQEAgtnU6vmevB6AuCw5NAO7Faljpc8Z57tgjMcP"
     "VUShCjetOa7hVVnn9KEUwEm/V2tJEERMQrqGsWPMFlHBW2ljThIiYlia7LpxjO5AGtARjHOSvgJ80Jid8kTObwoNI4oc"
     "qnbZLaiEU821uroB/59tF1Hk1igsS7ZvgvKw8rU71sYn9iJCPx3l3pl5+YIDbarLLEaIvEUew+ffqqqCbMelqNhHvGKe"
     "iIcEFuzBZ4o7+8Pb8RVyLdbJFJKNpEvnH0SMGuWYVPte7F3EWgwbZsYlYAOQx+pE3ecngC4GQzmFt7g86i3p17gN6vH3"
     "4uBsv44nc2Y74DnxqQLy4dp04x2bcQ=="},
    {17,
     "MIIDCTCCAfGgAwIBAgIUFSPchIEENxY7DOZSPnujpoECN7UwDQYJKoZIhvcNAQELBQAwFDESMBAGA1UEAwwJbG9jYWxo"
     "b3N0MB4XDTI2MTEyMTA5NDYzMFoXDTM2MTExODA5NDYzMFowFDESMBAGA1UEAwwJbG9jYWxob3N0MIIBIjANBgkqhkiG"
     "9w0BAQEFAAOCAQ8AMIIBCgKCAQEAp1pjXJ3ApR2O6A4ejvP43fTja8efCQZjHCctS6GEycq4PQgqM5jI04sAurBGM1/r"
     "Cmp2/h1yzPcaZx2ISMC4TXzWG0UGA7GMja5zignd9dMN/cnftC3yciXuRvrZQEqHC5hAsgbUBQWfQWyoi2NsnfebBUjf"
     "rk7HV0QQAHOtEJtkhFTtiNLVXWWc0MrVLvhbC2oeGPW7VK07UPoECML+j8TtqETlf2Ak+IzGqIIzs1D8CRZyryd4JBQ4"
     "MKCL//VBVnzNBxXmUEi2tbbVT+raozGXCIvbucJIxOc6wUnTixe5j5Or8Kj+8AUtDfZjeajpPGM0q5LJqkUXvm0Ig2Gb"
     "LQIDAQABo1MwUTAdBgNVHQ4EFgQUkh7PoVZ1eDyNn64laSEPuT07UE8wHwYDVR0jBBgwFoAUkh7PoVZ1eDyNn64laSEP"
     "uT07UE8wDwYDVR0TAQH/BAUwAwEB/zANBgkqhkiG9w0BAQsFAAOCAQEAFrysrI9B26IBvn3yduRmwlE303smFIr+NVYH"
     "5UF5+Y2NPidKkxrnnAAV1mdx5VxvnlSJVhnpEcyqd5siQ1C8nDdTPme67ZHJj7Mc3HZ9QXKzY1ey3DTfdvUcF8JiQvIM"
     "DV+HxhAxEX2fKdLX3fEzyJj9mM7LnpQcofDxqgSkU6w0oR734OU5iDIVAAruFzBS2Qy1mqzAhQknuAU2jMhpwhUbM9KB"
     "9bSj1ZTrk2sbrvZFQaVo2MCESeneXf97bfCzVzOsZDaEoGT3ZLtAiHIkXbDeXFW6aX1a5OlI+CakJ9a4o1HE3O5Yc4uE"
     "T08OIbYlvYeS9A5oeAmhT8Z5pcqg0w=="},
    {18,
     "MIIDCTCCAfGgAwIBAgIUNErf7recOGEZbVYQ874+RmZVpcIwDQYJKoZIhvcNAQELBQAwFDESMBAGA1UEAwwJbG9jYWxo"
     "b3N0MB4XDTI2MTEyMTA5NDY0OVoXDTM2MTExODA5NDY0OVowFDESMBAGA1UEAwwJbG9jYWxob3N0MIIBIjANBgkqhkiG"
     "9w0BAQEFAAOCAQ8AMIIBCgKCAQEAmWLQq1Y4eSAMqGSB4qX/Dc/ZyaWN5uzJ/OW+9P1qAU8WGcOw9/q9zMNcnHmNxHFM"
     "/+sTT7SZ423UOzedsDRIvsVbnDtxBRPVjWJ/rJ94I0w9E2y6ymHi0P+euKdbg6ZgGsSe3QkHgooiRmMPlGJ9WjAy9Mzb"
     "M+7s2mlQVRv9FFp9etCZ07m2o1r5p93M8SZlO1LhxI9TExNK8C9yujT/18HBLPrHTPbgIwzzXdVwR7AP2YqHHPx3sdoQ"
     "jrWEqq8WgF6OD98kdDG0d1M199f0pMIKfxARUBQtTt8P4BFNdg8wf9mZ3LuljAUAESCy1I00HIduHY83iM/lBdgi38eh"
     "CwIDAQABo1MwUTAdBgNVHQ4EFgQU0DTRMAB/4KVfwSWOjsFpn8nJFuAwHwYDVR0jBBgwFoAU0DTRMAB/4KVfwSWOjsFp"
     "n8nJFuAwDwYDVR0TAQH/BAUwAwEB/zANBgkqhkiG9w0BAQsFAAOCAQEATGVndLw2kIQ11FARsZ9KqJq1pZcaSLJldQd9"
     "Zvy1I7ZD8UFT2oh3KBV05tuRwzCL37MVONOMwUAbWON21ZD00Vo0m//zPAJEwldmlOaU0juGZYNvdH+5Gc7B3hNJOjdY"
     "r+y1KC94dEhMrr/cc/c2o+JBMKEb9UF+9TdFDU3x1BdQcZqkhXdjAQ98HwpblerFlD0AnZ4hXMS/yTTEXWya6DxRXkP+"
     "wRwpQXJtkLL9OAXKmTk/Dbu2RdAX9ixoGNwQaEV5EhymLB3yG+pABJIlXRaDH4ScJJjfkfWnMD39bj5bjIOxLkZaTxWF"
     "J+2XZsrkpf8bQOfNM9g9yQ74tzvpHg=="},
};

} // namespace recorded
