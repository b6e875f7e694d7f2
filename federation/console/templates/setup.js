const take=()=>{if(location.hash.length>1){document.getElementById("code").value=location.hash.slice(1);history.replaceState(null,"",location.pathname)}};take();addEventListener("hashchange",take)
